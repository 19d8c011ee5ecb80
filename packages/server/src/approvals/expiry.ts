import type { Clock } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Service } from '../base/service.ts';
import type { AuditSink } from '../core/audit.ts';
import type { Store } from '../store/store.ts';
import { newEvent, statusRunning } from '../turns/events.ts';
import type { AnswerSignal } from './signal.ts';

export interface ExpiryDeps {
  readonly store: Pick<Store, 'approvals'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly audit: AuditSink;
  /** Whoever runs the session's turn looks for its answers. */
  readonly signal: Pick<AnswerSignal, 'confirmed'>;
  readonly sweepMs: number;
}

/** What the agent and everybody else is told of a question whose time is over. */
export const EXPIRED_MESSAGE = 'Nobody answered in time, so this counts as denied. Ask the user before you try it again.';

/** Denies what nobody answered in time. Every server does it: of each question one of them is first. */
export function createApprovalExpiry(deps: ExpiryDeps): Service {
  const { store, clock, log, audit } = deps;
  let cancel: () => void = () => undefined;
  let running: Promise<void> | undefined;

  async function sweep(): Promise<void> {
    for (;;) {
      const expired = await store.approvals.expire({
        message: EXPIRED_MESSAGE,
        event: ({ id, kind }) => newEvent('approval.expired', { approval_id: id, kind, message: EXPIRED_MESSAGE }, clock.now()),
        running: statusRunning,
        now: clock.now(),
      });
      if (expired === undefined) return;
      const { tenantId, sessionId, id, toolName } = expired;
      deps.signal.confirmed(sessionId);
      const detail = { tool: toolName, session: sessionId };
      await audit.record({ tenantId, actor: 'system', action: 'approval.expired', subject: id, detail });
    }
  }

  const tick = (): void => {
    running ??= sweep()
      .catch((error: unknown) => {
        if (isPlatformError(error, 'store_unavailable')) log.debug({ err: error }, 'the database did not answer');
        else log.error({ err: error }, 'approvals whose time is over could not be expired; it is tried again');
      })
      .finally(() => {
        running = undefined;
      });
  };

  return {
    name: 'approval expiry',
    start: async () => {
      cancel = clock.every(deps.sweepMs, tick);
      tick();
    },
    stop: async () => {
      cancel();
      await running;
    },
  };
}
