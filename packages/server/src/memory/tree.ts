import { createHash } from 'node:crypto';
import { isMemoryPath, MAX_MEMORY_BYTES } from '@cloister/api';
import { isPlatformError } from '../base/errors.ts';
import { readBytes } from '../workspaces/read-bytes.ts';
import type { SafeTree } from '../workspaces/safe-tree.ts';

/** A text as it lies in the mounted directory. */
export interface MountedText {
  readonly content: string;
  readonly sha256: string;
}

/** What a sandbox has made of the directory: it is hostile, and only files that could be memories count. */
export interface MountedTree {
  readonly texts: ReadonlyMap<string, MountedText>;
  /** What is there and cannot be a memory, such as a link, or something too large: nothing is concluded from it. */
  readonly odd: readonly string[];
  /** There was more than is looked at: nothing is concluded from what was not seen. */
  readonly isWhole: boolean;
}

const MAX_ENTRIES = 5000;
const MAX_DEPTH = 20;
const PAGE = 500;

export async function readMounted(tree: SafeTree): Promise<MountedTree> {
  const texts = new Map<string, MountedText>();
  const odd: string[] = [];
  let seen = 0;

  async function walk(directory: readonly string[]): Promise<boolean> {
    let after: Buffer | undefined;
    do {
      const page = await tree.list(directory, { limit: PAGE, after });
      for (const entry of page.entries) {
        if (++seen > MAX_ENTRIES) return false;
        if (entry.path === undefined) continue;
        const place = entry.path.split('/');
        if (entry.kind === 'directory') {
          if (place.length >= MAX_DEPTH || !(await walk(place))) return false;
        } else await take(place, entry);
      }
      after = page.next;
    } while (after !== undefined);
    return true;
  }

  async function take(place: readonly string[], { kind, size }: { readonly kind: string; readonly size: number }): Promise<void> {
    const path = `/${place.join('/')}`;
    const text = kind === 'file' && size <= MAX_MEMORY_BYTES && isMemoryPath(path) ? await readText(tree, place) : undefined;
    if (text === undefined) odd.push(path);
    else texts.set(path, text);
  }

  const isWhole = await walk([]);
  return { texts, odd, isWhole };
}

/** Undefined for what is no text, or has changed while it was looked at. */
async function readText(tree: SafeTree, place: readonly string[]): Promise<MountedText | undefined> {
  try {
    await using file = await tree.openFile(place);
    if (file.stats.size > MAX_MEMORY_BYTES) return undefined;
    const chunks: Uint8Array[] = [];
    for await (const chunk of readBytes(file.handle, { start: 0, length: file.stats.size })) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    const content = bytes.toString('utf8');
    // Databases keep no zero character in a text.
    if (content.includes('\0') || !Buffer.from(content).equals(bytes)) return undefined;
    return { content, sha256: createHash('sha256').update(bytes).digest('hex') };
  } catch (error) {
    if (isPlatformError(error, 'bug') || !(error instanceof Error)) throw error;
    return undefined;
  }
}
