import { type Clock, delay } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { CallRecord, UsageStore } from '../store/store.ts';

/** What calls came to, on its way to the store. */
export interface CallRecords {
  /** Is written at once, together with what comes in the same moment; while the store does not answer, it waits. */
  add(call: CallRecord): void;
  /** How many could not be kept, as too many waited. */
  dropped(): number;
  /** Of this server since its start, by provider and model. */
  totals(): ReadonlyMap<string, CallTotals>;
  /** Writes what waits, within a bound; what is reserved for the rest is charged by whoever sweeps. */
  close(): Promise<void>;
}

export interface CallTotals {
  readonly provider: string;
  readonly model: string;
  calls: number;
  inputTokens: number;
  outputTokens: number;
  cacheReadTokens: number;
  cacheCreationTokens: number;
  costMicros: number;
}

export interface CallRecordsDeps {
  readonly store: Pick<UsageStore, 'settle'>;
  readonly clock: Clock;
  readonly log: Logger;
}

const MAX_WAITING = 10_000;
const AT_ONCE = 32;
const RETRY_MS = 1000;
const CLOSE_MS = 5000;
/** Names of models come from sandboxes, and each is a row of the metrics. */
const MAX_MODELS = 200;

export function createCallRecords({ store, clock, log }: CallRecordsDeps): CallRecords {
  const waiting: CallRecord[] = [];
  const totals = new Map<string, CallTotals>();
  const giveUp = new AbortController();
  let flushing: Promise<void> | undefined;
  let dropped = 0;

  async function write(call: CallRecord): Promise<void> {
    try {
      await store.settle({ call, now: clock.now() });
    } catch (error) {
      const waits = isPlatformError(error, 'store_unavailable') || isPlatformError(error, 'disk_full');
      if (waits && waiting.length < MAX_WAITING) return void waiting.push(call);
      dropped++;
      log.error({ err: error, call: call.id, session: call.sessionId }, 'what a model call came to could not be kept');
    }
  }

  async function flush(): Promise<void> {
    while (waiting.length > 0 && !giveUp.signal.aborted) {
      const batch = waiting.splice(0, AT_ONCE);
      await Promise.all(batch.map(write));
      // What is back in line is so since the store does not answer.
      if (batch.some((call) => waiting.includes(call))) await delay(clock, RETRY_MS, giveUp.signal).catch(() => undefined);
    }
  }

  function begin(): void {
    flushing ??= flush().finally(() => {
      flushing = undefined;
      if (waiting.length > 0 && !giveUp.signal.aborted) begin();
    });
  }

  return {
    add(call) {
      addTo(totals, call);
      if (waiting.length >= MAX_WAITING) {
        dropped++;
        log.error({ call: call.id, session: call.sessionId }, 'what a model call came to is not kept: too much waits for the database');
        return;
      }
      waiting.push(call);
      begin();
    },
    dropped: () => dropped,
    totals: () => totals,
    async close() {
      const cancel = clock.after(CLOSE_MS, () => giveUp.abort(new Error('the server ends')));
      await flushing;
      cancel();
    },
  };
}

function addTo(totals: Map<string, CallTotals>, { provider, model, usage, costMicros }: CallRecord): void {
  const name = totals.has(`${provider}/${model}`) || totals.size < MAX_MODELS ? model : 'other';
  const key = `${provider}/${name}`;
  const none = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheCreationTokens: 0, costMicros: 0 };
  const sum = totals.get(key) ?? { provider, model: name, calls: 0, ...none };
  sum.calls++;
  sum.inputTokens += usage.inputTokens;
  sum.outputTokens += usage.outputTokens;
  sum.cacheReadTokens += usage.cacheReadTokens;
  sum.cacheCreationTokens += usage.cacheCreationTokens;
  sum.costMicros += costMicros;
  totals.set(key, sum);
}
