import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { SessionFiles } from '../sandboxes/session-files.ts';
import type { SessionRow, Store } from '../store/store.ts';
import { rootsOf } from '../workspaces/quota.ts';
import { measure } from '../workspaces/usage.ts';

export interface StorageMeterDeps {
  readonly store: Pick<Store, 'plans'>;
  readonly sessionFiles: Pick<SessionFiles, 'ensure'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** More files than this count as so many: counting them must not take longer than making them did. */
const MAX_ENTRIES = 500_000;

/** Measures a session's files after its turn, where the tenant's plan limits storage. Never throws, and nobody waits for it. */
export function createStorageMeter({ store, sessionFiles, clock, log }: StorageMeterDeps): (session: SessionRow) => void {
  const underWay = new Set<string>();

  async function meter(session: SessionRow): Promise<void> {
    const { id: sessionId, tenantId } = session;
    const plan = await store.plans.ofTenant({ tenantId });
    if (plan?.limits.storage_bytes === undefined) return;
    const { bytes } = await measure(rootsOf(await sessionFiles.ensure(session)), { bytes: Infinity, entries: MAX_ENTRIES });
    await store.plans.measure({ tenantId, sessionId, bytes, now: clock.now() });
  }

  return (session) => {
    if (underWay.has(session.id)) return;
    underWay.add(session.id);
    meter(session)
      .catch((error: unknown) => log.warn({ err: error, session: session.id }, 'the files of a session could not be measured for its plan'))
      .finally(() => underWay.delete(session.id));
  };
}
