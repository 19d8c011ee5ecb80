/**
 * The little Markdown that agents write, as a tree: code blocks, headings, lists, quotes, paragraphs, and
 * inside them code, bold, italics and links. Anything else stays the text it is. A block that is still
 * open at the end counts as closed, since text arrives in pieces.
 */
export type Block =
  | { readonly type: 'code'; readonly language: string; readonly text: string }
  | { readonly type: 'heading'; readonly level: number; readonly content: readonly Inline[] }
  | { readonly type: 'list'; readonly isOrdered: boolean; readonly start: number; readonly items: readonly (readonly Inline[])[] }
  | { readonly type: 'quote'; readonly content: readonly Inline[] }
  | { readonly type: 'paragraph'; readonly content: readonly Inline[] };

export type Inline =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'code'; readonly text: string }
  | { readonly type: 'bold' | 'italic'; readonly content: readonly Inline[] }
  | { readonly type: 'link'; readonly href: string; readonly text: string };

const FENCE = /^\s{0,3}(```+|~~~+)\s*([\w+-]*)\s*$/;
const HEADING = /^\s{0,3}(#{1,6})\s+(.+?)\s*#*$/;
const ITEM = /^\s{0,6}(?:[-*+]|(\d{1,9})[.)])\s+(.*)$/;
const QUOTE = /^\s{0,3}>\s?(.*)$/;

export function parseMarkdown(source: string): Block[] {
  const lines = source.split('\n');
  const blocks: Block[] = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at] ?? '';
    const fence = FENCE.exec(line);
    if (line.trim() === '') at += 1;
    else if (fence !== null) {
      const end = closingFence(lines, at + 1, fence[1] ?? '```');
      blocks.push({ type: 'code', language: fence[2] ?? '', text: lines.slice(at + 1, end).join('\n') });
      at = end + 1;
    } else {
      const size = blockSize(lines, at);
      blocks.push(parseBlock(lines.slice(at, at + size)));
      at += size;
    }
  }
  return blocks;
}

function closingFence(lines: readonly string[], from: number, opening: string): number {
  const found = lines.findIndex((line, index) => index >= from && line.trim().startsWith(opening) && FENCE.test(line));
  return found === -1 ? lines.length : found;
}

/** How many lines belong to the block that starts at `at`. */
function blockSize(lines: readonly string[], at: number): number {
  const first = lines[at] ?? '';
  if (HEADING.test(first)) return 1;
  const isItem = ITEM.test(first);
  const isQuote = QUOTE.test(first);
  const rest = lines.slice(at + 1);
  const size = rest.findIndex((line) => {
    if (line.trim() === '' || FENCE.test(line) || HEADING.test(line)) return true;
    // A line without a marker goes on with the list's last item; a marker inside a paragraph starts a list.
    return isItem ? false : ITEM.test(line) || isQuote !== QUOTE.test(line);
  });
  return size === -1 ? rest.length + 1 : size + 1;
}

function parseBlock(lines: readonly string[]): Block {
  const [first = ''] = lines;
  const heading = HEADING.exec(first);
  if (heading !== null) return { type: 'heading', level: heading[1]?.length ?? 1, content: parseInline(heading[2] ?? '') };
  if (ITEM.test(first)) return parseList(lines);
  if (QUOTE.test(first)) return { type: 'quote', content: parseInline(lines.map((line) => QUOTE.exec(line)?.[1] ?? line).join('\n')) };
  return { type: 'paragraph', content: parseInline(lines.join('\n')) };
}

function parseList(lines: readonly string[]): Block {
  const items: string[] = [];
  for (const line of lines) {
    const item = ITEM.exec(line);
    if (item !== null) items.push(item[2] ?? '');
    else items.push(`${items.pop() ?? ''}\n${line.trim()}`);
  }
  const number = ITEM.exec(lines[0] ?? '')?.[1];
  return { type: 'list', isOrdered: number !== undefined, start: Number(number ?? 1), items: items.map((item) => parseInline(item)) };
}

/** Every repetition is bounded: the text is not ours, and a long one must not stop the page. */
const INLINE =
  /(?<ticks>`{1,3})(?<code>[\s\S]{0,2000}?[^`])\k<ticks>(?!`)|\*\*(?<bold>\S(?:[\s\S]{0,2000}?\S)?)\*\*|(?<![\w*])\*(?<star>[^\s*](?:[^*]{0,2000}[^\s*])?)\*(?![\w*])|(?<!\w)_(?<under>[^\s_](?:[^_]{0,2000}[^\s_])?)_(?!\w)|\[(?<label>[^\][\n]{1,500})\]\((?<target>[^\s()]{1,2000}(?:\([^\s()]{0,500}\))?)\)|(?<bare>https?:\/\/[^\s<>"'`)\]]{0,2000}[^\s<>"'`)\].,:;!?])/g;

export function parseInline(source: string): Inline[] {
  const found: Inline[] = [];
  let at = 0;
  for (const match of source.matchAll(INLINE)) {
    if (match.index > at) found.push({ type: 'text', text: source.slice(at, match.index) });
    found.push(toInline(match[0], match.groups ?? {}));
    at = match.index + match[0].length;
  }
  if (at < source.length) found.push({ type: 'text', text: source.slice(at) });
  return found;
}

function toInline(whole: string, groups: Readonly<Record<string, string | undefined>>): Inline {
  if (groups.code !== undefined) return { type: 'code', text: groups.code };
  if (groups.bold !== undefined) return { type: 'bold', content: parseInline(groups.bold) };
  const italic = groups.star ?? groups.under;
  if (italic !== undefined) return { type: 'italic', content: parseInline(italic) };
  const href = safeUrl(groups.target ?? groups.bare ?? '');
  return href === undefined ? { type: 'text', text: whole } : { type: 'link', href, text: groups.label ?? whole };
}

/** Only the web: `javascript:`, `data:` and the like stay text. */
function safeUrl(target: string): string | undefined {
  const url = URL.parse(target);
  return url !== null && (url.protocol === 'https:' || url.protocol === 'http:') ? url.href : undefined;
}
