import type { Clock } from '../base/clock.ts';
import { newId } from '../base/ids.ts';
import type { Logger } from '../base/log.ts';
import type { Provider } from '../core/model.ts';
import type { CallOwner, ModelAccounts } from '../core/model-accounts.ts';
import type { Traffic } from '../core/model-cost.ts';
import type { Usage } from '../store/store.ts';
import type { ModelCallEnd, ModelCallObserver } from './gateway.ts';

/** Tells the observer of one model call: one start, one end, in this order, whatever happens. And what it came to goes to the accounts. */
export interface CallTracker {
  readonly callId: string;
  readonly startedAt: number;
  /** The model's name is known; tells of the start if nobody was told yet. */
  begin(model: string | null): void;
  end(usage: Usage, failure: ModelCallEnd['failure'], model: string | null, traffic?: Traffic): void;
}

export interface CallTrackerDeps {
  readonly observer: ModelCallObserver;
  readonly provider: Provider;
  readonly clock: Clock;
  readonly log: Logger;
  readonly accounts: ModelAccounts | undefined;
  readonly owner: CallOwner;
}

export const NO_USAGE: Usage = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheCreationTokens: 0 };
const NO_TRAFFIC: Traffic = { requestBytes: 0, answerBytes: 0, isStream: false, isCounted: true };

/** For requests that are no model calls, such as counting tokens. */
export const untracked: CallTracker = { callId: '', startedAt: 0, begin: () => undefined, end: () => undefined };

export function createCallTracker({ observer, provider, clock, log, accounts, owner }: CallTrackerDeps): CallTracker {
  const callId = newId('request');
  const startedAt = clock.now();
  let model: string | null | undefined;
  let isEnded = false;
  // An observer that throws must not take the sandbox's connection, or the process, with it.
  const guarded = (tell: () => void) => {
    try {
      tell();
    } catch (error) {
      log.error({ err: error, callId }, 'the observer of a model call failed');
    }
  };
  const begin = (name: string | null) => {
    if (model !== undefined) return;
    model = name;
    guarded(() => observer.onStart({ callId, provider, model: name }));
  };
  return {
    callId,
    startedAt,
    begin,
    end(usage, failure, answered, traffic = NO_TRAFFIC) {
      if (isEnded) return;
      isEnded = true;
      begin(answered);
      guarded(() => observer.onEnd({ callId, provider, model: model ?? answered, usage, failure }));
      // A call that a budget had no room for is none.
      if (typeof failure === 'object' && failure.code === 'budget_reached') return;
      const outcome = failure === undefined ? 'succeeded' : failure === 'aborted' ? 'aborted' : 'failed';
      const call = {
        ...owner,
        id: callId,
        provider,
        model: model ?? null,
        answeredModel: answered,
        usage,
        traffic,
        outcome,
        startedAt,
      } as const;
      guarded(() => accounts?.settle({ ...call, endedAt: clock.now() }));
    },
  };
}
