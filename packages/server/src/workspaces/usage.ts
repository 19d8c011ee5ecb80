import { isPlatformError } from '../base/errors.ts';
import { type HeldDirectory, lookAt, openBelow, openRoot } from './held-directory.ts';

export interface Usage {
  /** On the disk; a file with several names counts once. */
  readonly bytes: number;
  /** Files, directories and links. */
  readonly entries: number;
  /** Why it was not counted to the end: it is over a bound already, or nested too deep to be looked into. */
  readonly stopped: 'bytes' | 'entries' | 'depth' | undefined;
}

export interface UsageBounds {
  readonly bytes: number;
  readonly entries: number;
  readonly signal?: AbortSignal | undefined;
}

/** Directories held at once; who nests deeper does it to hide something. */
const MAX_DEPTH = 200;
const BLOCK = 512;

/**
 * What lies in directories that sandboxes write to meanwhile. No link is followed, whatever changes, and counting ends
 * as soon as a bound is passed. Files that have no name any more are not seen.
 */
export async function measure(roots: readonly string[], bounds: UsageBounds): Promise<Usage> {
  const count = { bytes: 0, entries: 0 };
  for (const root of roots) {
    await using held = await openRoot(root);
    const stopped = await countIn(held, { count, bounds, depth: 0 });
    if (stopped !== undefined) return { bytes: Math.ceil(count.bytes), entries: count.entries, stopped };
  }
  return { bytes: Math.ceil(count.bytes), entries: count.entries, stopped: undefined };
}

interface Walk {
  readonly count: { bytes: number; entries: number };
  readonly bounds: UsageBounds;
  readonly depth: number;
}

async function countIn(held: HeldDirectory, walk: Walk): Promise<Usage['stopped']> {
  const { count, bounds, depth } = walk;
  for await (const name of held.names()) {
    bounds.signal?.throwIfAborted();
    try {
      const stats = await lookAt(held, name);
      count.entries++;
      // All names of a file lie in what is counted, since no link leads out of a mount: each stands for its share.
      count.bytes += (stats.blocks * BLOCK) / (stats.isDirectory() ? 1 : Math.max(1, stats.nlink));
      if (count.bytes > bounds.bytes) return 'bytes';
      if (count.entries > bounds.entries) return 'entries';
      if (!stats.isDirectory()) continue;
      if (depth >= MAX_DEPTH) return 'depth';
      await using inner = await openBelow(held, [name]);
      const stopped = await countIn(inner, { ...walk, depth: depth + 1 });
      if (stopped !== undefined) return stopped;
    } catch (error) {
      // It has gone, or become something else; or it is closed even to us, as to a server that is not root.
      const isPassing = ['file_not_found', 'file_conflict', 'file_refused'].some((code) => isPlatformError(error) && error.code === code);
      if (!isPassing) throw error;
    }
  }
  return undefined;
}
