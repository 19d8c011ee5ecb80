import { type Clock, delay } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { Logger } from '../base/log.ts';
import type { Services } from '../services/services.ts';
import type { SendEvents } from '../sessions/send-events.ts';
import type { SessionRow, Store } from '../store/store.ts';

/** Removes what deleted tenants have: work under way is stopped, then containers and files go, then rows, a few at a time. */
export interface TenantRemoval {
  /** Makes rounds until it is aborted; one node at a time is enough. */
  run(signal: AbortSignal): Promise<void>;
  /** There is something to remove: on this server the next round begins now. */
  wake(): void;
}

export interface TenantRemovalDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly send: SendEvents;
  readonly services: Pick<Services, 'remove'>;
  /** Stops the session's sandbox and removes its files. */
  readonly release: (sessionId: string) => Promise<void>;
}

const BATCH = 200;
const PAUSE_MS = 20;
const ROUND_MS = 5000;
const PAGE = { limit: 100, order: 'asc' } as const;

export function createTenantRemoval(deps: TenantRemovalDeps): TenantRemoval {
  const { store, clock, log } = deps;
  let onWake: () => void = () => undefined;

  async function makeRound(signal: AbortSignal): Promise<void> {
    for (const { id } of (await store.tenants.list({ state: 'deleting', ...PAGE })).data) {
      try {
        await removeTenant(deps, id, signal);
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ err: error, tenant: id }, 'a tenant could not be removed; the next round goes on');
      }
    }
    await store.users.forgetExpired({ now: clock.now(), limit: BATCH });
  }

  /** Until somebody wakes us, or the next round is due. */
  function rest(signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    onWake = () => woken.abort();
    // Rejects only when it is ended early.
    return delay(clock, ROUND_MS, AbortSignal.any([signal, woken.signal])).catch(() => undefined);
  }

  return {
    wake: () => onWake(),
    async run(signal) {
      while (!signal.aborted) {
        await makeRound(signal).catch((error: unknown) => log.warn({ err: error }, 'deleted tenants could not be looked for'));
        await rest(signal);
      }
    },
  };
}

/** Broken off anywhere, the next round finds the tenant and goes on. */
async function removeTenant(deps: TenantRemovalDeps, tenantId: string, signal: AbortSignal): Promise<void> {
  const { store, clock, log } = deps;
  const sessions = await store.sessions.list({ tenantId, includeArchived: true, ...PAGE });
  for (const session of sessions.data) await removeSession(deps, session, signal);
  const services = await store.services.list({ tenantId, ...PAGE });
  for (const { id, desired } of services.data) if (desired !== 'deleted') await deps.services.remove(tenantId, id);
  // Containers go before the rows by which they are known.
  if (sessions.data.length > 0 || services.data.length > 0) return;
  let rows = 0;
  for (;;) {
    const removed = await store.tenants.purge({ id: tenantId, limit: BATCH });
    rows += removed;
    if (removed === 0) break;
    await delay(clock, PAUSE_MS, signal);
  }
  log.info({ tenant: tenantId, rows }, 'a deleted tenant is gone');
}

async function removeSession(deps: TenantRemovalDeps, { tenantId, id }: SessionRow, signal: AbortSignal): Promise<void> {
  const { store, clock, send, release } = deps;
  const key = { tenantId, sessionId: id };
  const now = clock.now();
  if (!(await store.retention.condemn({ ...key, idleBefore: now + 1, now }))) {
    // A turn is under way: it is asked to stop, and the next round finds it stopped.
    await send({ ...key, events: [{ type: 'user.interrupt' }] }).catch((error: unknown) => {
      if (!isPlatformError(error)) throw error;
    });
    return;
  }
  await release(id);
  while ((await store.retention.strip({ ...key, limit: BATCH })) === BATCH) await delay(clock, PAUSE_MS, signal);
  await store.sessions.remove({
    tenantId,
    id,
    event: { id: newId('event'), type: 'session.deleted', payload: {}, processedAt: now },
    now: clock.now(),
  });
}
