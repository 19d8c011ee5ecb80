import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { Clock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { StorageHold, StorageRoom } from '../plans/storage-room.ts';
import { type SessionFiles, type SessionPlaces, sharesWorkspace, snapshotsOf } from '../sandboxes/session-files.ts';
import { requireSession } from '../sessions/sessions.ts';
import type { SessionKey, SessionRow, Store } from '../store/store.ts';
import { fileProblem } from './file-problem.ts';
import { isCode, makeBelow, openRoot } from './held-directory.ts';
import { mergeInto } from './merge.ts';
import { type Omitted, packTree } from './pack.ts';
import { within } from './quota.ts';
import { randomName } from './random-name.ts';
import { emptyDirectory, removeTree } from './remove-tree.ts';
import { openStaging } from './safe-tree.ts';
import type { TakeOver } from './take-over.ts';
import { unpack } from './unpack.ts';
import { type FileLimits, treePlaces } from './workspace-files.ts';

export interface SnapshotInfo {
  readonly id: string;
  readonly createdAtMs: number;
  readonly size: number;
  readonly omitted: number;
}

/**
 * Copies of a session's workspace as it was. They lie where no sandbox sees them; no quota of the workspace counts
 * them, but the tenant's plan does. They go with the session. What has an `.json` is whole: it is written last and removed first.
 */
export interface Snapshots {
  /** With `id`, the snapshot is the one of that id, made now or by an earlier try. */
  create(session: SessionKey, id?: string): Promise<SnapshotInfo>;
  /** The newest first. */
  list(session: SessionKey): Promise<readonly SnapshotInfo[]>;
  get(session: SessionKey, id: string): Promise<SnapshotInfo>;
  remove(session: SessionKey, id: string): Promise<void>;
  /** Makes the workspace as it was then. Throws `session_busy` while a turn is queued, runs or waits, and `session_elsewhere`. */
  restore(session: SessionKey, id: string): Promise<SnapshotInfo>;
}

export interface SnapshotsDeps {
  readonly store: Pick<Store, 'sessions'>;
  readonly clock: Clock;
  readonly dataDir: string;
  readonly sessionFiles: Pick<SessionFiles, 'ensure'>;
  readonly limits: FileLimits;
  readonly storage: StorageRoom;
  /** Sees to it that no other server has a sandbox of the session meanwhile. */
  readonly takeOver: TakeOver;
  /** Stops the session's sandbox, if there is one. */
  readonly release: (sessionId: string, options: { isRemoved: false }) => Promise<void>;
}

const MAX_SNAPSHOTS = 20;

export function createSnapshots(deps: SnapshotsDeps): Snapshots {
  const { store, clock, dataDir } = deps;
  const restoring = new Set<string>();
  const placeOf = (sessionId: string) => snapshotsOf(dataDir, sessionId);
  const known = ({ tenantId, sessionId }: SessionKey) => requireSession(store, tenantId, sessionId);

  async function find(sessionId: string, id: string): Promise<SnapshotInfo> {
    const found = /^snp_[0-9a-f]{32}$/.test(id) ? await readInfo(placeOf(sessionId), id) : undefined;
    if (found !== undefined) return found;
    throw new PlatformError('snapshot_not_found', { detail: `The session has no snapshot "${id.slice(0, 80).toWellFormed()}".` });
  }

  async function list({ sessionId }: SessionKey): Promise<readonly SnapshotInfo[]> {
    const names = await readdir(placeOf(sessionId)).catch((error: unknown) => (isCode(error, 'ENOENT') ? [] : Promise.reject(error)));
    const ids = names.filter((name) => name.endsWith('.json')).map((name) => path.basename(name, '.json'));
    const all = await Promise.all(ids.map((id) => readInfo(placeOf(sessionId), id)));
    return all.filter((one) => one !== undefined).toSorted((a, b) => (a.id < b.id ? 1 : -1));
  }

  return {
    async create(session, id = newId('snapshot')) {
      const row = await known(session);
      const made = await readInfo(placeOf(session.sessionId), id);
      if (made !== undefined) return made;
      if ((await list(session)).length >= MAX_SNAPSHOTS)
        throw new PlatformError('snapshot_limit_reached', { detail: `A session may have ${MAX_SNAPSHOTS} snapshots.` });
      const places = await deps.sessionFiles.ensure(row);
      await using hold = await deps.storage.hold(session.tenantId);
      try {
        const info = await create(deps, { places, id, now: clock.now(), hold });
        await deps.storage.count(session, places);
        return info;
      } catch (error) {
        throw fileProblem(error, 'The snapshot');
      }
    },
    async list(session) {
      await known(session);
      return list(session);
    },
    async get(session, id) {
      await known(session);
      return find(session.sessionId, id);
    },
    async remove(session, id) {
      const row = await known(session);
      await find(session.sessionId, id);
      await rm(path.join(placeOf(session.sessionId), `${id}.json`), { force: true });
      await rm(path.join(placeOf(session.sessionId), `${id}.tar.gz`), { force: true });
      await deps.storage.count(session, await deps.sessionFiles.ensure(row));
    },
    async restore(session, id) {
      const { sessionId } = session;
      const row = await known(session);
      const info = await find(sessionId, id);
      if (sharesWorkspace(row.environment))
        throw new PlatformError('capability_unsupported', {
          detail: 'The workspace is shared by all sessions of the agent, so that no session brings it back.',
        });
      if (row.archivedAt !== null) throw new PlatformError('session_archived');
      if (row.state !== 'idle' || restoring.has(sessionId)) throw new PlatformError('session_busy');
      restoring.add(sessionId);
      try {
        await restore(deps, row, path.join(placeOf(sessionId), `${id}.tar.gz`));
        await deps.storage.count(session, await deps.sessionFiles.ensure(row));
        return info;
      } finally {
        restoring.delete(sessionId);
      }
    },
  };
}

async function create(
  { limits }: SnapshotsDeps,
  { places, id, now, hold }: { readonly places: SessionPlaces; readonly id: string; readonly now: number; readonly hold: StorageHold },
): Promise<SnapshotInfo> {
  const { root, owner } = treePlaces(places);
  const place = places.snapshots;
  const archive = path.join(place, `${id}.tar.gz`);
  await mkdir(place, { recursive: true, mode: 0o700 });
  const omitted: Omitted = { count: 0 };
  try {
    await using held = await openRoot(root);
    const packed = Readable.from(boundedBy(packTree(held, owner, omitted), limits.maxArchiveBytes), { objectMode: false });
    await pipeline(packed, createGzip({ level: 5 }), hold.meter, createWriteStream(archive, { mode: 0o600, flush: true }));
    const info: SnapshotInfo = { id, createdAtMs: now, size: (await stat(archive)).size, omitted: omitted.count };
    const draft = path.join(place, randomName());
    await writeFile(draft, JSON.stringify(info), { mode: 0o600, flush: true });
    await rename(draft, path.join(place, `${id}.json`));
    return info;
  } catch (error) {
    await rm(archive, { force: true });
    throw error;
  }
}

/** A sparse file can be far larger than the disk. */
async function* boundedBy(source: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<Buffer> {
  let size = 0;
  for await (const chunk of source) {
    size += chunk.length;
    if (size > maxBytes) throw new PlatformError('archive_too_large', { detail: `The workspace holds more than ${maxBytes} bytes.` });
    yield chunk;
  }
}

/**
 * The copy is unpacked aside first, so that nothing is lost when that fails. The directory itself stays the same one:
 * a sandbox that starts meanwhile has it already.
 */
async function restore({ store, sessionFiles, takeOver, release }: SnapshotsDeps, row: SessionRow, archive: string): Promise<void> {
  const { tenantId, id: sessionId } = row;
  const places = await sessionFiles.ensure(row);
  const { root, staging, owner } = treePlaces(places);
  await using drafts = await openStaging(staging);
  const name = randomName();
  try {
    await using fresh = await makeBelow(drafts, [name], owner);
    const unbounded = Number.MAX_SAFE_INTEGER;
    await within(places, () =>
      unpack(createReadStream(archive), fresh, { maxBytes: unbounded, maxEntries: unbounded, owner, origin: 'own' }),
    );
    const giveBack = await takeOver({ tenantId, sessionId });
    try {
      await release(sessionId, { isRemoved: false });
      if ((await requireSession(store, tenantId, sessionId)).state !== 'idle') throw new PlatformError('session_busy');
      await using workspace = await openRoot(root);
      await emptyDirectory(workspace);
      await mergeInto(fresh, workspace);
    } finally {
      await giveBack();
    }
  } finally {
    await removeTree(drafts, name);
  }
}

async function readInfo(place: string, id: string): Promise<SnapshotInfo | undefined> {
  try {
    // Written by this server alone.
    return JSON.parse(await readFile(path.join(place, `${id}.json`), 'utf8')) as SnapshotInfo;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}
