import { AsyncLocalStorage } from 'node:async_hooks';
import type { AuditActor } from '../core/audit.ts';

const acting = new AsyncLocalStorage<AuditActor>();

/** Whatever `work` does is done by that one, through all of its awaits. */
export function actAs<T>(actor: AuditActor, work: () => T): T {
  return acting.run(actor, work);
}

/** Who makes the request that this is part of; the platform itself outside of any. */
export function actingNow(): AuditActor {
  return acting.getStore() ?? 'system';
}
