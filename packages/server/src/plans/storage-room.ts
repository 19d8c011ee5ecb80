import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { planLimitReached } from '../core/plan-limits.ts';
import type { SessionPlaces } from '../sandboxes/session-files.ts';
import type { SessionKey, Store } from '../store/store.ts';
import { rootsOf } from '../workspaces/quota.ts';
import { measure } from '../workspaces/usage.ts';

/** What the plan of a tenant leaves for the files of its sessions. */
export interface StorageRoom {
  /** In bytes; `Infinity` without a limit. Throws `plan_limit_reached` when nothing is left. */
  left(tenantId: string): Promise<number>;
  /** What to throw when what was sent does not fit into what was left. */
  refusal(tenantId: string): Promise<Error>;
  /** Counts a session's files as they are now, where the plan limits storage. Never throws: what was written is there. */
  count(session: SessionKey, places: SessionPlaces): Promise<void>;
}

export interface StorageRoomDeps {
  readonly store: Pick<Store, 'plans'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** More files than this count as so many: counting them must not take longer than making them did. */
const MAX_ENTRIES = 500_000;

export function createStorageRoom({ store, clock, log }: StorageRoomDeps): StorageRoom {
  const limitOf = async (tenantId: string) => (await store.plans.ofTenant({ tenantId }))?.limits.storage_bytes;
  const usedBy = async (tenantId: string) => (await store.plans.use({ tenantId, now: clock.now() })).storage_bytes;
  return {
    async left(tenantId) {
      const max = await limitOf(tenantId);
      if (max === undefined) return Infinity;
      const used = await usedBy(tenantId);
      if (used >= max) throw planLimitReached({ limit: 'storage_bytes', used, max });
      return max - used;
    },
    async refusal(tenantId) {
      return planLimitReached({ limit: 'storage_bytes', used: await usedBy(tenantId), max: (await limitOf(tenantId)) ?? 0 });
    },
    async count({ tenantId, sessionId }, places) {
      try {
        if ((await limitOf(tenantId)) === undefined) return;
        const { bytes } = await measure(rootsOf(places), { bytes: Infinity, entries: MAX_ENTRIES });
        await store.plans.measure({ tenantId, sessionId, bytes, now: clock.now() });
      } catch (error) {
        log.warn({ err: error, session: sessionId }, 'the files of a session could not be measured for its plan');
      }
    },
  };
}
