import type { ForkedSession, SessionFork } from '@cloister/api';
import type { Clock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { StorageHold, StorageRoom } from '../plans/storage-room.ts';
import { sandboxUser } from '../sandboxes/directories.ts';
import { type SessionFiles, type SessionPlaces, sharesWorkspace } from '../sandboxes/session-files.ts';
import { requireSession } from '../sessions/sessions.ts';
import { toSession } from '../sessions/wire.ts';
import type { SessionKey, SessionRow, Store } from '../store/store.ts';
import { fileProblem } from './file-problem.ts';
import { openRoot } from './held-directory.ts';
import { packTree } from './pack.ts';
import { within } from './quota.ts';
import { emptyDirectory } from './remove-tree.ts';
import { copySnapshot, type TurnSnapshots } from './turn-snapshots.ts';
import { type UnpackLimits, unpack } from './unpack.ts';
import type { FileLimits } from './workspace-files.ts';

export interface ForksDeps {
  readonly store: Pick<Store, 'sessions' | 'events'>;
  readonly clock: Clock;
  readonly sessionFiles: Pick<SessionFiles, 'ensure'>;
  readonly limits: FileLimits;
  readonly turnSnapshots: Pick<TurnSnapshots, 'nearest'>;
  readonly volumeId: string;
  readonly storage: StorageRoom;
}

/**
 * A new session with the log of another up to an event, and a copy of its workspace: as it was then where the
 * end of a turn was kept, else as it is now; one that is shared is the same one. A fork of the whole log has the agent's own memory too; another is told the
 * conversation by its first message. With `id`, the fork is the one of that id, made now or by an earlier try.
 */
export type Fork = (session: SessionKey, input: SessionFork, id?: string) => Promise<ForkedSession>;

export function createFork({ store, clock, sessionFiles, limits, turnSnapshots, volumeId, storage }: ForksDeps): Fork {
  /** The seq of the state that was taken; undefined when none was kept. */
  const createCopyAsOf =
    (sessionId: string, { take }: StorageHold) =>
    async (throughSeq: number, to: SessionPlaces) => {
      for (;;) {
        const nearest = await turnSnapshots.nearest(sessionId, throughSeq);
        if (nearest === undefined) return undefined;
        if (await copySnapshot(nearest, to.workspace, take)) return nearest.seq;
      }
    };

  return async ({ tenantId, sessionId }, { event_id: eventId, title }, id = newId('session')) => {
    const source = await requireSession(store, tenantId, sessionId);
    await using hold = await storage.hold(tenantId);
    const copyAsOf = createCopyAsOf(sessionId, hold);
    const throughSeq = eventId === undefined ? undefined : await seqOf(store, source, eventId);
    const isWhole = throughSeq === undefined || throughSeq === source.lastSeq;
    const now = clock.now();
    const sharedVolumeId = sharesWorkspace(source.environment) ? volumeId : undefined;
    const until = isWhole ? undefined : throughSeq;
    const row = await store.sessions.fork({ tenantId, from: sessionId, id, throughSeq: until, title, sharedVolumeId, now });
    const { maxArchiveBytes: maxBytes } = limits;
    let workspaceSeq: number | undefined;
    try {
      const [from, to] = [await sessionFiles.ensure(source), await sessionFiles.ensure(row)];
      await within(to, async () => {
        if (until !== undefined && !to.isShared) workspaceSeq = await copyAsOf(until, to);
        if (workspaceSeq === undefined && !to.isShared) await copyInto(from.workspace, to.workspace, { maxBytes, take: hold.take });
        if (isWhole) await copyInto(from.home, to.home, { maxBytes, take: hold.take });
      });
      await storage.count({ tenantId, sessionId: id }, to);
    } catch (error) {
      // The caller is told that nothing was made; its files are swept with the row gone.
      const event = { id: newId('event'), type: 'session.deleted', payload: {}, processedAt: now };
      await store.sessions.remove({ tenantId, id, event, now });
      throw fileProblem(error, 'The workspace');
    }
    const workspace = workspaceSeq === undefined ? ('current' as const) : ('as_of_event' as const);
    return { ...toSession(row, now), workspace, workspace_seq: workspaceSeq ?? null };
  };
}

async function seqOf(store: Pick<Store, 'events'>, { tenantId, id: sessionId }: SessionRow, eventId: string): Promise<number> {
  const event = await store.events.find({ tenantId, sessionId, id: eventId });
  if (event !== undefined) return event.seq;
  throw new PlatformError('event_not_found', { detail: `There is no event "${eventId.slice(0, 80).toWellFormed()}" in this session.` });
}

/** What an earlier try left there goes first. */
async function copyInto(from: string, to: string, bounds: Pick<UnpackLimits, 'maxBytes' | 'take'>): Promise<void> {
  const owner = sandboxUser();
  await using source = await openRoot(from);
  await using target = await openRoot(to);
  await emptyDirectory(target);
  await unpack(packTree(source, owner), target, { ...bounds, maxEntries: Number.MAX_SAFE_INTEGER, owner, origin: 'own' });
}
