import type { Logger } from '../base/log.ts';
import type { SessionFiles } from '../sandboxes/session-files.ts';
import type { SessionRow } from '../store/store.ts';
import { createStorageRoom, type StorageRoomDeps } from './storage-room.ts';

export interface StorageMeterDeps extends StorageRoomDeps {
  readonly sessionFiles: Pick<SessionFiles, 'ensure'>;
  readonly log: Logger;
}

/** Measures a session's files after its turn, where the tenant's plan limits storage. Never throws, and nobody waits for it. */
export function createStorageMeter(deps: StorageMeterDeps): (session: SessionRow) => void {
  const room = createStorageRoom(deps);
  const underWay = new Set<string>();

  async function meter(session: SessionRow): Promise<void> {
    const { id: sessionId, tenantId } = session;
    if ((await deps.store.plans.ofTenant({ tenantId }))?.limits.storage_bytes === undefined) return;
    await room.count({ tenantId, sessionId }, await deps.sessionFiles.ensure(session));
  }

  return (session) => {
    if (underWay.has(session.id)) return;
    underWay.add(session.id);
    meter(session)
      .catch((error: unknown) =>
        deps.log.warn({ err: error, session: session.id }, 'the files of a session could not be measured for its plan'),
      )
      .finally(() => underWay.delete(session.id));
  };
}
