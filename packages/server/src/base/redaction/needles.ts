/**
 * Finds any of many texts in another, in one pass that leaps over what cannot be the end of one (Wu and Manber's way):
 * a line of a log is searched in well under a microsecond, whether one secret is known or thousands.
 */
export interface Needles {
  /** Texts shorter than `MIN_NEEDLE` are passed by: what is that short occurs by chance. */
  add(needle: string): void;
  /** With every occurrence replaced by `mask`; the same text when there is none. */
  replaceIn(text: string, mask: string): string;
  clear(): void;
}

export const MIN_NEEDLE = 8;
const BLOCK = 3;
const MAX_LEAP = MIN_NEEDLE - BLOCK + 1;
const TABLE_SIZE = 1 << 16;

export function createNeedles(): Needles {
  const leaps = new Uint8Array(TABLE_SIZE).fill(MAX_LEAP);
  const buckets = new Map<number, string[]>();

  const findAt = (text: string, hash: number, start: number): string | undefined => {
    let longest: string | undefined;
    for (const needle of buckets.get(hash) ?? [])
      if (needle.length > (longest?.length ?? 0) && text.startsWith(needle, start)) longest = needle;
    return longest;
  };

  return {
    add(needle) {
      if (needle.length < MIN_NEEDLE) return;
      for (let end = BLOCK - 1; end < MIN_NEEDLE; end++) {
        const hash = hashAt(needle, end);
        leaps[hash] = Math.min(leaps[hash] ?? MAX_LEAP, MIN_NEEDLE - 1 - end);
      }
      const hash = hashAt(needle, MIN_NEEDLE - 1);
      const bucket = buckets.get(hash) ?? [];
      if (!bucket.includes(needle)) bucket.push(needle);
      buckets.set(hash, bucket);
    },
    replaceIn(text, mask) {
      if (buckets.size === 0) return text;
      let result = '';
      let copied = 0;
      for (let end = MIN_NEEDLE - 1; end < text.length; ) {
        const hash = hashAt(text, end);
        const leap = leaps[hash] ?? MAX_LEAP;
        if (leap > 0) {
          end += leap;
          continue;
        }
        const start = end - MIN_NEEDLE + 1;
        const found = findAt(text, hash, start);
        if (found === undefined) {
          end += 1;
          continue;
        }
        result += text.slice(copied, start) + mask;
        copied = start + found.length;
        end = copied + MIN_NEEDLE - 1;
      }
      return copied === 0 ? text : result + text.slice(copied);
    },
    clear() {
      leaps.fill(MAX_LEAP);
      buckets.clear();
    },
  };
}

/** Of the block that ends at `end`. */
function hashAt(text: string, end: number): number {
  const hash = (text.charCodeAt(end) * 2_654_435 + text.charCodeAt(end - 1) * 40_503 + text.charCodeAt(end - 2) * 7_919) >>> 0;
  return (hash ^ (hash >>> 16)) & (TABLE_SIZE - 1);
}
