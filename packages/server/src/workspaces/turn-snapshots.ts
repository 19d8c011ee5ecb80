import { mkdir, readdir, rename } from 'node:fs/promises';
import path from 'node:path';
import type { Logger } from '../base/log.ts';
import type { StorageRoom } from '../plans/storage-room.ts';
import { sandboxUser } from '../sandboxes/directories.ts';
import { keepsTurns, type SessionFiles, snapshotsOf } from '../sandboxes/session-files.ts';
import type { SessionRow, Store } from '../store/store.ts';
import { type CopyBounds, copyTree } from './copy-tree.ts';
import { isCode, openRoot } from './held-directory.ts';
import { randomName } from './random-name.ts';
import { emptyDirectory, removeTree } from './remove-tree.ts';
import { sharesBlocks, turnsOf } from './shared-blocks.ts';
import { type FileLimits, MAX_ENTRIES } from './workspace-files.ts';

/** The workspace as it was when the log had so many events. */
export interface TurnSnapshot {
  readonly seq: number;
  readonly directory: string;
}

/**
 * Copies of the workspace at the end of each turn, for environments that ask for them: the newest few, for forks at an
 * event. Each is a directory named by the last event that there was; it is whole when it has its name.
 */
export interface TurnSnapshots {
  /** Called when a turn has done its work, before its outcome is told. Never throws: a turn does not fail by this. */
  take(session: SessionRow): Promise<void>;
  /** The newest that is not after the event. */
  nearest(sessionId: string, throughSeq: number): Promise<TurnSnapshot | undefined>;
}

export interface TurnSnapshotsDeps {
  readonly store: Pick<Store, 'sessions'>;
  readonly log: Logger;
  readonly dataDir: string;
  readonly sessionFiles: Pick<SessionFiles, 'ensure'>;
  readonly limits: FileLimits;
  readonly storage: Pick<StorageRoom, 'hold'>;
}

const MAX_TURN_SNAPSHOTS = 10;

export function createTurnSnapshots({ store, log, dataDir, sessionFiles, limits, storage }: TurnSnapshotsDeps): TurnSnapshots {
  const placeOf = (sessionId: string) => turnsOf(snapshotsOf(dataDir, sessionId));

  async function list(sessionId: string): Promise<readonly TurnSnapshot[]> {
    const place = placeOf(sessionId);
    const names = await readdir(place).catch((error: unknown) => (isCode(error, 'ENOENT') ? [] : Promise.reject(error)));
    const seqs = names.filter((name) => /^\d+$/.test(name)).map(Number);
    return seqs.toSorted((a, b) => b - a).map((seq) => ({ seq, directory: path.join(place, String(seq)) }));
  }

  async function copy(session: SessionRow): Promise<void> {
    const row = await store.sessions.find({ tenantId: session.tenantId, id: session.id });
    if (row === undefined) return;
    const { workspace } = await sessionFiles.ensure(row);
    const place = placeOf(row.id);
    await mkdir(place, { recursive: true, mode: 0o700 });
    await using room = await storage.hold(row.tenantId);
    const take = (await sharesBlocks(workspace, place)) ? undefined : room.take;
    await using held = await openRoot(place);
    const draft = randomName();
    try {
      await mkdir(path.join(place, draft), { mode: 0o700 });
      await using from = await openRoot(workspace);
      await using to = await openRoot(path.join(place, draft));
      await copyTree(from, to, { maxBytes: limits.maxArchiveBytes, maxEntries: MAX_ENTRIES, owner: sandboxUser(), take });
      // Of an attempt that was broken off.
      await removeTree(held, String(row.lastSeq));
      await rename(path.join(place, draft), path.join(place, String(row.lastSeq)));
    } finally {
      await removeTree(held, draft);
    }
    for (const { seq } of (await list(row.id)).slice(MAX_TURN_SNAPSHOTS)) await removeTree(held, String(seq));
  }

  return {
    async take(session) {
      if (!keepsTurns(session.environment)) return;
      await copy(session).catch((error: unknown) =>
        log.warn({ err: error, session: session.id }, 'the workspace of a turn could not be kept; forks take an older one'),
      );
    },
    nearest: async (sessionId, throughSeq) => (await list(sessionId)).find(({ seq }) => seq <= throughSeq),
  };
}

/** Copies one into an empty directory; false when it has been removed meanwhile, and another is to be taken. */
export async function copySnapshot(snapshot: TurnSnapshot, workspace: string, take: CopyBounds['take']): Promise<boolean> {
  await using to = await openRoot(workspace);
  await emptyDirectory(to);
  try {
    await using from = await openRoot(snapshot.directory);
    const unbounded = Number.MAX_SAFE_INTEGER;
    await copyTree(from, to, { maxBytes: unbounded, maxEntries: unbounded, owner: sandboxUser(), take });
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error;
  }
  return (await readdir(path.dirname(snapshot.directory))).includes(String(snapshot.seq));
}
