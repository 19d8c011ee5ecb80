import type { MemoryListItem } from '@cloister/api';
import { PlatformError } from '../base/errors.ts';
import type { MemoryStores } from '../store/store.ts';
import type { MemoryScope } from './memory.ts';
import { toMemory } from './wire.ts';

export interface MemoryListInput {
  readonly limit: number;
  readonly page?: string | undefined;
  readonly prefix?: string | undefined;
  readonly depth?: number | undefined;
  readonly isFull: boolean;
}

/** A page of a store by the paths; what lies deeper than asked for is rolled up to its prefix. A store is small: all its paths are looked at. */
export async function listMemories(
  memory: Pick<MemoryStores, 'list' | 'find'>,
  scope: MemoryScope,
  { limit, page, prefix = '', depth = 0, isFull }: MemoryListInput,
): Promise<{ readonly data: readonly MemoryListItem[]; readonly next: string | null }> {
  const after = page === undefined ? '' : parseCursor(page);
  const rows = (await memory.list(scope)).filter(({ path }) => path.startsWith(prefix));
  const items = new Map<string, MemoryListItem>();
  for (const row of rows) {
    const rolled = depth === 0 ? undefined : rolledUp(row.path, prefix, depth);
    if (rolled === undefined) items.set(row.path, toMemory(row));
    else items.set(rolled, { type: 'memory_prefix', path: rolled });
  }
  const left = [...items].filter(([path]) => path > after).sort(([a], [b]) => (a < b ? -1 : 1));
  const data: MemoryListItem[] = [];
  for (const [, item] of left.slice(0, limit)) {
    const full = isFull && item.type === 'memory' ? await memory.find({ ...scope, id: item.id }) : undefined;
    data.push(full === undefined ? item : toMemory(full));
  }
  const last = left[limit - 1];
  return { data, next: left.length > limit && last !== undefined ? Buffer.from(last[0]).toString('base64url') : null };
}

/** Undefined for a path that is not deeper than `depth` levels below the prefix. */
function rolledUp(path: string, prefix: string, depth: number): string | undefined {
  const base = prefix.endsWith('/') ? prefix : prefix.slice(0, prefix.lastIndexOf('/') + 1) || '/';
  const parts = path.slice(base.length).split('/');
  return parts.length > depth ? `${base}${parts.slice(0, depth).join('/')}/` : undefined;
}

function parseCursor(page: string): string {
  const path = Buffer.from(page, 'base64url').toString('utf8');
  if (path.startsWith('/') && Buffer.from(path).toString('base64url') === page) return path;
  throw new PlatformError('cursor_invalid');
}
