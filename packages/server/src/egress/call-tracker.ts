import { newId } from '../base/ids.ts';
import type { Logger } from '../base/log.ts';
import type { Provider } from '../core/model.ts';
import type { Usage } from '../store/store.ts';
import type { ModelCallEnd, ModelCallObserver } from './gateway.ts';

/** Tells the observer of one model call: one start, one end, in this order, whatever happens. */
export interface CallTracker {
  /** The model's name is known; tells of the start if nobody was told yet. */
  begin(model: string | null): void;
  end(usage: Usage, failure: ModelCallEnd['failure'], model: string | null): void;
}

export const NO_USAGE: Usage = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheCreationTokens: 0 };

/** For requests that are no model calls, such as counting tokens. */
export const untracked: CallTracker = { begin: () => undefined, end: () => undefined };

export function createCallTracker(observer: ModelCallObserver, provider: Provider, log: Logger): CallTracker {
  const callId = newId('request');
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
    begin,
    end(usage, failure, answered) {
      if (isEnded) return;
      isEnded = true;
      begin(answered);
      guarded(() => observer.onEnd({ callId, provider, model: model ?? answered, usage, failure }));
    },
  };
}
