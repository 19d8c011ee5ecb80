import type { ServiceSettings } from '../core/service-settings.ts';
import type { ExitReport } from '../runtime/driver.ts';
import type { ServiceObservation } from '../runtime/services.ts';
import type { ServiceChanges, ServiceEventInput, ServiceRow } from '../store/store.ts';

/**
 * What to do next about a service, from what is wanted, what was written and what the engine shows. Pure, so that every
 * situation a crash can leave behind is a row of a table in the tests. A container belongs to the service only while
 * the row names its incarnation; the name is written before the container is made, so none is made twice or lost.
 */
export type Step =
  | { readonly type: 'none' }
  /** Writes a new incarnation's name, then makes and starts it. */
  | { readonly type: 'launch' }
  /** The incarnation's name is written; its container is to be made, or only to be started. */
  | { readonly type: 'resume' }
  | { readonly type: 'record'; readonly changes: ServiceChanges; readonly event?: ServiceEventInput }
  /** Ends and removes its container, then writes what `changes` says. */
  | { readonly type: 'clear'; readonly before?: ServiceChanges; readonly changes: ServiceChanges; readonly event?: ServiceEventInput }
  /** Removes everything of it, and then the row. */
  | { readonly type: 'purge' };

export interface Situation {
  readonly row: ServiceRow;
  /** The container of the row's incarnation. */
  readonly seen: ServiceObservation | undefined;
  /** Why it has to be restarted although it runs, by its health checks. */
  readonly unhealthy: string | undefined;
  readonly now: number;
  readonly settings: Pick<ServiceSettings, 'restartBaseMs' | 'maxRestarts' | 'restartWindowMs'>;
}

const LONGEST_BACKOFF_MS = 300_000;
const NOTHING_RUNS = { incarnation: null, health: 'unknown', startedAt: null, checkedAt: null, callbackHash: null } as const;

export function decide(situation: Situation): Step {
  const { row } = situation;
  switch (row.desired) {
    case 'deleted':
      return { type: 'purge' };
    case 'stopped':
      return decideStopped(situation);
    case 'running':
      return decideRunning(situation);
  }
}

function decideStopped({ row, seen }: Situation): Step {
  const changes = { ...NOTHING_RUNS, state: 'stopped', reason: null, nextStartAt: null } as const;
  if (seen !== undefined || row.incarnation !== null)
    return { type: 'clear', before: { state: 'stopping' }, changes, event: { type: 'stopped' } };
  return row.state === 'stopped' ? { type: 'none' } : { type: 'record', changes, event: { type: 'stopped' } };
}

function decideRunning(situation: Situation): Step {
  const { row, seen, now, unhealthy } = situation;
  const isOutdated = row.startedGeneration < row.generation;
  if (row.incarnation === null) {
    if (row.state === 'failed' && !isOutdated) return { type: 'none' };
    return row.nextStartAt !== null && row.nextStartAt > now ? { type: 'none' } : { type: 'launch' };
  }
  if (isOutdated)
    return {
      type: 'clear',
      before: { state: 'stopping' },
      changes: { ...NOTHING_RUNS, state: 'pending', reason: null, nextStartAt: null },
    };
  if (seen === undefined || seen.state === 'missing') {
    // Between the name and the container there is nothing to see; after it has run, somebody else took it away.
    return row.state === 'starting' ? { type: 'resume' } : ended(situation, 'its container was removed from outside');
  }
  if (seen.state === 'created') return { type: 'resume' };
  if (seen.state === 'exited') return ended(situation, describeExit(seen.exit));
  if (seen.state === 'running' && seen.isCutOff) return ended(situation, 'the relay of its port ended');
  if (unhealthy !== undefined) return ended(situation, seen.state === 'paused' ? 'its container was paused from outside' : unhealthy);
  if (row.state !== 'running')
    return { type: 'record', changes: { state: 'running', startedAt: now, nextStartAt: null }, event: { type: 'started' } };
  return { type: 'none' };
}

/** Removes what is left and starts it again after a while, or gives up when that has been tried too often. */
export function ended({ row, now, settings }: Omit<Situation, 'seen' | 'unhealthy'>, why: string): Step {
  const { maxRestarts, restartBaseMs, restartWindowMs } = settings;
  const recent = row.restarts.filter((at) => at > now - restartWindowMs);
  if (recent.length >= maxRestarts) {
    const times = `${recent.length} ${recent.length === 1 ? 'restart' : 'restarts'} within ${Math.round(restartWindowMs / 1000)} s`;
    const reason = `crash loop, ${times}: ${why}`;
    return {
      type: 'clear',
      changes: { ...NOTHING_RUNS, state: 'failed', reason, nextStartAt: null },
      event: { type: 'failed', detail: reason },
    };
  }
  const waitMs = Math.min(restartBaseMs * 2 ** recent.length, LONGEST_BACKOFF_MS);
  return {
    type: 'clear',
    changes: { ...NOTHING_RUNS, state: 'backoff', reason: why, restarts: [...recent, now], nextStartAt: now + waitMs },
    event: { type: 'exited', detail: `${why}; started again in ${Math.round(waitMs / 1000)} s` },
  };
}

export function describeExit(exit: ExitReport | null): string {
  if (exit === null) return 'it ended';
  if (exit.isOutOfMemory) return 'it ran out of memory';
  return exit.signal === null ? `it exited with code ${exit.exitCode}` : `it was ended by ${exit.signal}`;
}
