// What is looked for in a run as a whole. Each function answers what it found, in words.
import type { Delivered, History } from './history.ts';
import { percentile } from './percentile.ts';
import { isEnded, mostOpen } from './rules-session.ts';

const READY_P99_MS = 5000;
/** Fewer starts than this have no such percentile; then the slowest one may take twice as long. */
const ENOUGH_STARTS = 50;
const STOP_MS = 30_000;
/** How soon writes have to be answered again after a fault. A link that swallows everything has to be noticed first. */
const RECOVERY_MS: Readonly<Record<string, number>> = {
  'pg-restart': 5000,
  'pg-kill': 5000,
  cut: 5000,
  blackhole: 20_000,
  'disk-full': 30_000,
};

export function unfinished({ unfinished: count }: History): string[] {
  return count > 0 ? [`${count} turns did not end`] : [];
}

export function slowStarts({ readyMs }: History): string[] {
  const slow = percentile(readyMs, 99);
  const limit = readyMs.length < ENOUGH_STARTS ? READY_P99_MS * 2 : READY_P99_MS;
  return slow > limit ? [`p99 is ${Math.round(slow)} ms`] : [];
}

export function slowRecoveries({ recoveries }: History): string[] {
  return recoveries
    .filter(({ fault, ms }) => ms > (RECOVERY_MS[fault] ?? Infinity))
    .map(({ fault, ms }) => `${Math.round(ms)} ms after ${fault}`);
}

export function badStops({ stops }: History): string[] {
  return stops
    .filter(({ code, ms }) => code !== 0 || ms > STOP_MS)
    .map(({ code, ms }) => `a server that was asked to stop ended with ${code} after ${Math.round(ms)} ms`);
}

export function unsoundness({ integrity }: History): string[] {
  return integrity === null || integrity === 'ok' ? [] : [integrity];
}

/** Where nothing was broken no turn is given up in the middle, and nothing that was taken is sent again. */
export function needlessRepeats({ faults, sessions, webhooks: hooks }: History): string[] {
  if (faults > 0) return [];
  const logged = sessions.flatMap((session) => session.logged);
  const given = logged
    .filter((event) => isEnded(event) && event.error?.code === 'turn_interrupted')
    .map((event) => `${event.turn_id} was given up`);
  const taken = (hooks?.delivered ?? []).filter(isTaken).map((one) => one.id);
  const twice = [...Map.groupBy(taken, (id) => id)]
    .filter(([, ids]) => ids.length > 1)
    .map(([id, ids]) => `${id} was sent ${ids.length} times`);
  return [...given, ...twice];
}

/** In the end each session has one sandbox at most, and no sandbox is without one. */
export function orphans({ sandboxes, sessions }: History): string[] {
  const known = new Set(sessions.map((session) => session.sessionId));
  const strangers = sandboxes.filter((id) => !known.has(id)).map((id) => `a sandbox of ${id}, which nobody made`);
  const several = [...Map.groupBy(sandboxes, (id) => id)]
    .filter(([, ids]) => ids.length > 1)
    .map(([id, ids]) => `${ids.length} sandboxes of ${id}`);
  return [...strangers, ...several];
}

export function unboundedQueues({ sessions, maxQueuedPerSession, bareRefusals }: History): string[] {
  const limit = maxQueuedPerSession + 1;
  const found = sessions
    .map((session) => ({ id: session.sessionId, most: mostOpen(session.logged) }))
    .filter(({ most }) => most > limit)
    .map(({ id, most }) => `${id} had ${most} open messages; ${limit} are allowed`);
  return bareRefusals > 0 ? [...found, `${bareRefusals} refusals did not say when to come again`] : found;
}

/** Every end of a turn is delivered, or shown as failed; under one id always the same; and signed. */
export function webhooks({ webhooks: hooks, sessions }: History): string[] {
  if (hooks === null) return [];
  const found: string[] = [];
  if (hooks.open > 0) found.push(`${hooks.open} deliveries have neither arrived nor failed`);
  const taken = new Map<string, Delivered>();
  for (const one of hooks.delivered) {
    if (!one.isSigned) found.push(`${one.id} has no valid signature`);
    const before = taken.get(one.id);
    if (before !== undefined && before.bodyHash !== one.bodyHash) found.push(`${one.id} came with different contents`);
    if (before === undefined || isTaken(one)) taken.set(one.id, one);
  }
  const dead = new Set(hooks.deadLetters);
  for (const { sessionId, logged } of sessions) {
    for (const event of logged.filter(isEnded)) {
      const one = taken.get(event.id);
      if (one !== undefined && (one.sessionId !== sessionId || one.turnId !== event.turn_id))
        found.push(`${event.id} came as another event's`);
      if ((one === undefined || !isTaken(one)) && !dead.has(event.id)) found.push(`the end of ${event.turn_id} reached nobody`);
    }
  }
  const ends = new Set(sessions.flatMap((session) => session.logged.filter(isEnded).map((event) => event.id)));
  for (const one of taken.values()) if (one.type === ENDED && !ends.has(one.id)) found.push(`${one.id} tells of an end that is in no log`);
  return found;
}

const ENDED = 'cloister.turn.ended';

function isTaken(delivered: Delivered): boolean {
  return delivered.status !== null && delivered.status < 300;
}
