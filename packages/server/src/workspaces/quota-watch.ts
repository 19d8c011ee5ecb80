import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Service } from '../base/service.ts';
import type { LiveSandboxes } from '../sandboxes/live-sandboxes.ts';
import type { SessionPlaces } from '../sandboxes/session-files.ts';
import { full, rootsOf } from './quota.ts';
import { measure } from './usage.ts';

export interface QuotaWatchDeps {
  readonly live: Pick<LiveSandboxes, 'list' | 'discard'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly intervalMs?: number;
}

/**
 * Measures the files of sessions whose size nothing enforces, while they have a sandbox that works; one that is over
 * loses its sandbox, and its turn ends with `workspace_full`.
 */
export interface QuotaWatch extends Service {
  /** A sandbox of the session begins with these directories. */
  note(sessionId: string, places: SessionPlaces): void;
  /** Looks at all of them, now. */
  look(): Promise<void>;
}

const INTERVAL_MS = 3000;
/** Measuring may take this share of the time. */
const DUTY = 10;

export function createQuotaWatch({ live, clock, log, intervalMs = INTERVAL_MS }: QuotaWatchDeps): QuotaWatch {
  const noted = new Map<string, SessionPlaces>();
  let abort = new AbortController();
  let cancel: (() => void) | undefined;
  let looking: Promise<void> | undefined;

  async function lookAtOne(sessionId: string, places: SessionPlaces, signal: AbortSignal): Promise<void> {
    const { bytes = Infinity, maxEntries } = places.quota;
    const { stopped } = await measure(rootsOf(places), { bytes, entries: maxEntries, signal });
    if (stopped === undefined) return;
    log.warn({ session: sessionId, stopped }, 'the files of a session are over their quota; its sandbox is stopped');
    await live.discard(sessionId, full(places, stopped));
  }

  async function lookAtAll(signal: AbortSignal): Promise<void> {
    const states = new Map(live.list().map(({ sessionId, state }) => [sessionId, state]));
    for (const [sessionId, places] of noted) {
      const state = states.get(sessionId);
      if (state === undefined) noted.delete(sessionId);
      if (signal.aborted || (state !== 'busy' && state !== 'idle' && state !== 'starting')) continue;
      await lookAtOne(sessionId, places, signal).catch((error: unknown) => {
        if (!signal.aborted) log.warn({ err: error, session: sessionId }, 'the files of a session could not be measured');
      });
    }
  }

  function look(): Promise<void> {
    looking ??= lookAtAll(abort.signal).finally(() => {
      looking = undefined;
    });
    return looking;
  }

  function again(afterMs: number): void {
    cancel = clock.after(afterMs, () => {
      const began = clock.monotonic();
      void look().then(() => {
        if (cancel !== undefined) again(Math.max(intervalMs, (clock.monotonic() - began) * DUTY));
      });
    });
  }

  return {
    name: 'quota watch',
    note(sessionId, places) {
      if (places.quota.mode === 'watched') noted.set(sessionId, places);
      else noted.delete(sessionId);
    },
    look,
    async start() {
      if (cancel !== undefined) return;
      abort = new AbortController();
      again(intervalMs);
    },
    async stop() {
      cancel?.();
      cancel = undefined;
      abort.abort();
      await looking;
    },
  };
}
