import { chown, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Clock } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { Logger } from '../base/log.ts';
import type { MemoryResource } from '../resources/resources.ts';
import type { SandboxMount } from '../runtime/driver.ts';
import { memoryFolder, sandboxUser } from '../sandboxes/directories.ts';
import type { MemoryRow, Store } from '../store/store.ts';
import { isCode } from '../workspaces/held-directory.ts';
import { createSafeTree, type SafeTree } from '../workspaces/safe-tree.ts';
import { MAX_MEMORIES, textOf } from './memory.ts';
import { type MountedTree, readMounted } from './tree.ts';

/** Whose memory is mounted. */
export interface MemoryHolder {
  readonly tenantId: string;
  readonly sessionId: string;
  readonly resources: readonly MemoryResource[];
}

/**
 * Memory stores as directories of a session's sandbox. Before a turn a directory is brought in line with its store;
 * after it, what the agent has changed there becomes versions of the store, the session their author. Of two who
 * change the same text the later one wins, and the history has both; what one has changed the other does not delete.
 */
export interface MemoryMounts {
  /** The mounts, up to date. */
  ensure(holder: MemoryHolder): Promise<readonly SandboxMount[]>;
  beforeTurn(holder: MemoryHolder): Promise<void>;
  /** Never throws: what could not be taken back now is taken back before the next turn. */
  afterTurn(holder: MemoryHolder): Promise<void>;
}

export interface MemoryMountsDeps {
  readonly store: Pick<Store, 'memory'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly dataDir: string;
}

/** What the directory was like when it was last brought in line: digests by path. */
type Base = ReadonlyMap<string, string>;

export function createMemoryMounts(deps: MemoryMountsDeps): MemoryMounts {
  const placeOf = ({ sessionId }: MemoryHolder, { memory_store_id: id }: MemoryResource) =>
    path.join(memoryFolder(deps.dataDir), sessionId, id);

  async function sync(holder: MemoryHolder, resource: MemoryResource): Promise<void> {
    const mounted = await openMounted(placeOf(holder, resource));
    if (resource.access === 'read_write') await takeBack(deps, holder, resource, mounted);
    await bringIn(deps, holder, resource, mounted);
  }
  return {
    async ensure(holder) {
      for (const resource of holder.resources) await sync(holder, resource);
      return holder.resources.map((resource) => ({
        hostPath: path.join(placeOf(holder, resource), 'files'),
        path: resource.mount_path,
        isReadOnly: resource.access === 'read_only',
      }));
    },
    async beforeTurn(holder) {
      for (const resource of holder.resources) await sync(holder, resource);
    },
    async afterTurn(holder) {
      for (const resource of holder.resources) {
        if (resource.access === 'read_only') continue;
        await sync(holder, resource).catch((error: unknown) =>
          deps.log.warn(
            { err: error, session: holder.sessionId, store: resource.memory_store_id },
            'what an agent wrote into its memory was not taken back; it is tried again before its next turn',
          ),
        );
      }
    },
  };
}

interface Mounted {
  readonly tree: SafeTree;
  readBase(): Promise<Base | undefined>;
  writeBase(base: Base): Promise<void>;
}

async function openMounted(place: string): Promise<Mounted> {
  const root = path.join(place, 'files');
  const file = path.join(place, 'base.json');
  const owner = sandboxUser();
  await mkdir(place, { recursive: true, mode: 0o700 });
  const made = await mkdir(root, { recursive: true, mode: 0o700 });
  if (made !== undefined && process.getuid?.() === 0) await chown(root, owner.uid, owner.gid);
  return {
    tree: createSafeTree({ root, staging: path.join(place, 'staging'), owner }),
    async readBase() {
      const text = await readFile(file, 'utf8').catch((error: unknown) => (isCode(error, 'ENOENT') ? undefined : Promise.reject(error)));
      // Written by ourselves, whole or not at all.
      return text === undefined ? undefined : new Map(JSON.parse(text) as [string, string][]);
    },
    async writeBase(base) {
      await writeFile(`${file}.new`, JSON.stringify([...base]), { mode: 0o600 });
      await rename(`${file}.new`, file);
    },
  };
}

/** What has changed in the directory since it was brought in line becomes the session's change of the store. */
async function takeBack(
  deps: MemoryMountsDeps,
  holder: MemoryHolder,
  resource: MemoryResource,
  { tree, readBase }: Mounted,
): Promise<void> {
  const base = await readBase();
  // Never brought in line: nothing in it is the agent's.
  if (base === undefined) return;
  const scope = { tenantId: holder.tenantId, storeId: resource.memory_store_id };
  const mounted = await readMounted(tree);
  const stored = new Map((await deps.store.memory.list(scope)).map((row) => [row.path, row]));
  const change = () => ({
    versionId: newId('memoryVersion'),
    actor: { type: 'session_actor', session_id: holder.sessionId },
    now: deps.clock.now(),
  });
  for (const { path: gone, row } of goneOf(base, mounted, stored))
    await unlessRefused(deps, gone, () => deps.store.memory.remove({ ...scope, ...change(), id: row.id }));
  for (const [place, { content, sha256 }] of mounted.texts) {
    const row = stored.get(place);
    if (base.get(place) === sha256 || row?.sha256 === sha256) continue;
    const text = textOf(content);
    await unlessRefused(deps, place, () =>
      row === undefined
        ? deps.store.memory.create({ ...scope, ...change(), ...text, id: newId('memory'), path: place, max: MAX_MEMORIES })
        : deps.store.memory.update({ ...scope, ...change(), id: row.id, text }),
    );
  }
}

function goneOf(base: Base, mounted: MountedTree, stored: ReadonlyMap<string, MemoryRow>): { path: string; row: MemoryRow }[] {
  if (!mounted.isWhole) return [];
  const isOdd = (place: string) => mounted.odd.some((odd) => place === odd || place.startsWith(`${odd}/`));
  return [...base].flatMap(([place, sha256]) => {
    const row = stored.get(place);
    // What another has changed meanwhile is not this one's to delete.
    return mounted.texts.has(place) || isOdd(place) || row?.sha256 !== sha256 ? [] : [{ path: place, row }];
  });
}

const REFUSALS = [
  'memory_path_conflict',
  'memory_limit_reached',
  'memory_store_archived',
  'memory_not_found',
  'plan_limit_reached',
] as const;

/** One that the store does not take is no reason to lose the others. */
async function unlessRefused({ log }: MemoryMountsDeps, place: string, run: () => Promise<unknown>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (!REFUSALS.some((code) => isPlatformError(error, code))) throw error;
    log.info({ err: error, path: place }, 'a memory that an agent wrote was refused by its store');
  }
}

/** The directory becomes what the store is; what is odd in it stays. */
async function bringIn(deps: MemoryMountsDeps, holder: MemoryHolder, resource: MemoryResource, mounted: Mounted): Promise<void> {
  const { tree } = mounted;
  const scope = { tenantId: holder.tenantId, storeId: resource.memory_store_id };
  const rows = await deps.store.memory.list(scope);
  const wanted = new Map(rows.map((row) => [row.path, row]));
  const { texts } = await readMounted(tree);
  for (const place of texts.keys()) if (!wanted.has(place)) await tree.remove(partsOf(place), { isRecursive: false });
  const base = new Map<string, string>();
  for (const row of rows) {
    const isThere = texts.get(row.path)?.sha256 === row.sha256;
    if (isThere || (await put(tree, await deps.store.memory.find({ ...scope, id: row.id })))) base.set(row.path, row.sha256);
  }
  await mounted.writeBase(base);
}

/** False for what is gone meanwhile, or has something in its way that the agent made. */
async function put(tree: SafeTree, memory: (MemoryRow & { readonly content: string }) | undefined): Promise<boolean> {
  if (memory === undefined) return false;
  const once = async function* () {
    yield Buffer.from(memory.content);
  };
  try {
    await tree.write(partsOf(memory.path), once(), { maxBytes: memory.sizeBytes });
    return true;
  } catch (error) {
    if (isPlatformError(error, 'file_conflict') || isPlatformError(error, 'file_not_found')) return false;
    throw error;
  }
}

function partsOf(place: string): readonly string[] {
  return place.split('/').slice(1);
}
