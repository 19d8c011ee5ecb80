import { PlatformError } from '../base/errors.ts';
import type { StorageHold, StorageRoom } from '../plans/storage-room.ts';
import { sandboxUser } from '../sandboxes/directories.ts';
import type { SessionFiles, SessionPlaces } from '../sandboxes/session-files.ts';
import { requireSession } from '../sessions/sessions.ts';
import type { SessionKey, Store } from '../store/store.ts';
import { type HeldFile, makeBelow, openBelow, openRoot } from './held-directory.ts';
import { mergeInto } from './merge.ts';
import { packTree } from './pack.ts';
import { parsePath } from './paths.ts';
import { bounded, type Room, within } from './quota.ts';
import { randomName } from './random-name.ts';
import { removeTree } from './remove-tree.ts';
import { createSafeTree, openStaging, type SafeTree, type TreeEntry, type TreePlaces } from './safe-tree.ts';
import { type Unpacked, type UnpackLimits, unpack } from './unpack.ts';

export interface FileLimits {
  readonly maxFileBytes: number;
  readonly maxArchiveBytes: number;
}

/** Use cases of the files of a session's workspace. Sessions of other tenants are as missing ones. */
export interface WorkspaceFiles {
  list(session: SessionKey, input: ListInput): Promise<{ readonly entries: readonly TreeEntry[]; readonly next: string | null }>;
  /** The caller closes it. */
  open(session: SessionKey, path: string): Promise<HeldFile>;
  write(session: SessionKey, path: string, source: AsyncIterable<Uint8Array>, options: WriteOptions): Promise<TreeEntry>;
  remove(session: SessionKey, path: string, options: { readonly isRecursive: boolean }): Promise<void>;
  makeDirectory(session: SessionKey, path: string): Promise<TreeEntry>;
  move(session: SessionKey, input: { readonly from: string; readonly to: string; readonly isReplacing: boolean }): Promise<TreeEntry>;
  /** A tar archive of a directory, made while it is read. */
  pack(session: SessionKey, path: string): Promise<AsyncGenerator<Buffer>>;
  /** Unpacks an archive into a directory: all of it, or nothing when it is refused. */
  unpack(session: SessionKey, path: string, source: AsyncIterable<Uint8Array>, size?: number): Promise<Unpacked>;
}

interface WriteOptions {
  readonly isNew: boolean;
  /** As whoever sends it says; there may be less. */
  readonly size?: number | undefined;
}

interface ListInput {
  readonly path: string;
  readonly limit: number;
  readonly page?: string | undefined;
  readonly signal: AbortSignal;
}

export interface WorkspaceFilesDeps {
  readonly store: Pick<Store, 'sessions'>;
  readonly sessionFiles: Pick<SessionFiles, 'ensure'>;
  readonly limits: FileLimits;
  readonly storage: StorageRoom;
}

/** Files and directories that one archive may hold. */
export const MAX_ENTRIES = 200_000;

export function createWorkspaceFiles({ store, sessionFiles, limits, storage }: WorkspaceFilesDeps): WorkspaceFiles {
  async function placesOf({ tenantId, sessionId }: SessionKey, { isWriting }: { isWriting: boolean }): Promise<SessionPlaces> {
    const session = await requireSession(store, tenantId, sessionId);
    if (isWriting && session.archivedAt !== null) throw new PlatformError('session_archived');
    return sessionFiles.ensure(session);
  }
  const reading = async (session: SessionKey): Promise<SafeTree> =>
    createSafeTree(treePlaces(await placesOf(session, { isWriting: false })));
  const changing = async (session: SessionKey): Promise<SafeTree> =>
    createSafeTree(treePlaces(await placesOf(session, { isWriting: true })));
  /** Puts something in that is no larger than the server, the session's disk and the tenant's plan allow, and counts it. */
  async function put<T>(
    session: SessionKey,
    { limit, size }: { readonly limit: number; readonly size: number | undefined },
    run: (places: SessionPlaces, bounds: { readonly max: number; readonly room: Room; readonly hold: StorageHold }) => Promise<T>,
  ): Promise<T> {
    const places = await placesOf(session, { isWriting: true });
    await using hold = await storage.hold(session.tenantId, Math.min(size ?? 0, limit));
    const done = await within(places, (room) => bounded(places, room, limit, (max) => run(places, { max, room, hold })));
    await storage.count(session, places);
    return done;
  }
  return {
    async list(session, { path, limit, page, signal }) {
      const [names, after] = [parsePath(path), page === undefined ? undefined : parseCursor(page)];
      const { entries, next } = await (await reading(session)).list(names, { limit, after, signal });
      return { entries, next: next === undefined ? null : `f${next.toString('base64url')}` };
    },
    async open(session, path) {
      const names = parsePath(path);
      return (await reading(session)).openFile(names);
    },
    async write(session, path, source, { isNew, size }) {
      const names = parsePath(path);
      return put(session, { limit: limits.maxFileBytes, size }, (places, { max: maxBytes, hold }) =>
        createSafeTree(treePlaces(places)).write(names, hold.meter(source), { maxBytes, isNew }),
      );
    },
    async remove(session, path, options) {
      const names = parsePath(path);
      const places = await placesOf(session, { isWriting: true });
      await createSafeTree(treePlaces(places)).remove(names, options);
      await storage.count(session, places);
    },
    async makeDirectory(session, path) {
      const names = parsePath(path, '/path');
      const places = await placesOf(session, { isWriting: true });
      return within(places, () => createSafeTree(treePlaces(places)).makeDirectory(names));
    },
    async move(session, { from, to, isReplacing }) {
      const [old, place] = [parsePath(from, '/from'), parsePath(to, '/to')];
      return (await changing(session)).move(old, place, { isReplacing });
    },
    async pack(session, path) {
      const names = parsePath(path);
      return packBelow(treePlaces(await placesOf(session, { isWriting: false })), names);
    },
    async unpack(session, path, source, size) {
      const names = parsePath(path);
      return put(session, { limit: limits.maxArchiveBytes, size }, (places, { max: maxBytes, room: { entries }, hold }) =>
        unpackBelow(treePlaces(places), names, source, { maxBytes, maxEntries: Math.min(MAX_ENTRIES, entries), take: hold.take }),
      );
    },
  };
}

export function treePlaces({ workspace, staging }: SessionPlaces): TreePlaces {
  return { root: workspace, staging, owner: sandboxUser() };
}

/** Opens before the first byte, so that what is missing is told as an error and not as an archive that breaks off. */
async function packBelow({ root, owner }: TreePlaces, path: readonly string[]): Promise<AsyncGenerator<Buffer>> {
  await using top = await openRoot(root);
  await (await openBelow(top, path)).close();
  return (async function* () {
    await using again = await openRoot(root);
    await using directory = await openBelow(again, path);
    yield* packTree(directory, owner);
  })();
}

async function unpackBelow(
  { root, staging, owner }: TreePlaces,
  path: readonly string[],
  source: AsyncIterable<Uint8Array>,
  bounds: UnpackLimits,
): Promise<Unpacked> {
  await using drafts = await openStaging(staging);
  const name = randomName();
  try {
    await using fresh = await makeBelow(drafts, [name], owner);
    const done = await unpack(source, fresh, { ...bounds, owner, origin: 'sent' });
    await using top = await openRoot(root);
    await using target = await makeBelow(top, path, owner);
    await mergeInto(fresh, target);
    return done;
  } finally {
    await removeTree(drafts, name);
  }
}

function parseCursor(page: string): Buffer {
  const name = Buffer.from(page.slice(1), 'base64url');
  if (page.startsWith('f') && name.length > 0 && `f${name.toString('base64url')}` === page) return name;
  throw new PlatformError('cursor_invalid');
}
