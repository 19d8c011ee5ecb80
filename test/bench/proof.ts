import { setTimeout as sleep } from 'node:timers/promises';
import type { SessionEvent } from '../../packages/api/src/index.ts';
import { inParallel } from './load.ts';
import { type Row, verdict } from './row.ts';
import type { Tenant } from './tenant.ts';

const PER_REQUEST = 100;
const AT_ONCE = 8;
const PATIENCE_MS = 120_000;
const PAUSE_MS = 50;
const BUSY_MS = 1000;

/**
 * Stops what still waits or runs, and then looks in the log for every message that was accepted: it is there once, and
 * so is its end. Tenants with the same key on several servers count as one. The sessions in `leave` are left as they
 * are: their messages are in the log once, have ended once at most, and the server's own count of what is open agrees
 * with the log.
 */
export async function proveNothingLost(
  measure: string,
  tenants: readonly Tenant[],
  { leave = new Set() }: { readonly leave?: ReadonlySet<string> } = {},
): Promise<Row> {
  const tally: Tally = { messages: 0, lost: 0, doubled: 0, waiting: 0 };
  const work = [...byKey(tenants)].flatMap(({ tenant, accepted }) => [...accepted].map(([id, messages]) => ({ tenant, id, messages })));
  const left = work.filter(({ id }) => leave.has(id));
  const ending = work.filter(({ id }) => !leave.has(id));
  await inParallel(ending, AT_ONCE, ({ tenant, id, messages }) => judge(tenant, id, messages, tally));
  await inParallel(left, AT_ONCE, ({ tenant, id, messages }) => judgeWaiting(tenant, id, messages, tally));
  const open = left[0] === undefined ? 0 : await openTurns(left[0].tenant);
  const { messages, doubled, waiting } = tally;
  const lost = tally.lost + Math.abs(open - waiting);
  const which = waiting === 0 ? '' : `, ${waiting.toLocaleString('en')} still wait`;
  return {
    measure: `${measure}: accepted messages that ended once`,
    result: `${messages.toLocaleString('en')} in ${work.length.toLocaleString('en')} sessions: ${lost} lost, ${doubled} double${which}`,
    must: '0 lost, 0 double',
    goal: '',
    verdict: verdict(lost === 0 && doubled === 0, false),
    values: { messages, lost, doubled, waiting },
  };
}

interface Tally {
  messages: number;
  lost: number;
  doubled: number;
  /** Those that were left, and have not ended. */
  waiting: number;
}

/** A server that says that it is busy is asked again. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const status = error instanceof Error && 'status' in error ? error.status : undefined;
      if ((status !== 429 && status !== 503) || performance.now() > deadline) throw error;
      await sleep(BUSY_MS);
    }
  }
}

async function openTurns({ client }: Tenant): Promise<number> {
  const { turns } = await client.status();
  return turns.queued + turns.running + turns.waiting_approval;
}

async function judgeWaiting(tenant: Tenant, sessionId: string, accepted: readonly string[], tally: Tally): Promise<void> {
  const logged = count(await list(tenant, sessionId, 'user.message'), (event) => event.id);
  const ended = endsOf(await list(tenant, sessionId, 'turn.ended'));
  tally.messages += accepted.length;
  for (const id of accepted) {
    const [times, ends] = [logged.get(id) ?? 0, ended.get(id) ?? 0];
    if (times === 0) tally.lost++;
    if (times > 1 || ends > 1) tally.doubled++;
    if (ends === 0) tally.waiting++;
  }
}

function byKey(tenants: readonly Tenant[]): Iterable<{ readonly tenant: Tenant; readonly accepted: Map<string, string[]> }> {
  const merged = new Map<string, { readonly tenant: Tenant; readonly accepted: Map<string, string[]> }>();
  for (const tenant of tenants) {
    const one = merged.get(tenant.key) ?? { tenant, accepted: new Map<string, string[]>() };
    merged.set(tenant.key, one);
    for (const [id, messages] of tenant.accepted) one.accepted.set(id, [...(one.accepted.get(id) ?? []), ...messages]);
  }
  return merged.values();
}

async function judge(tenant: Tenant, sessionId: string, accepted: readonly string[], tally: Tally): Promise<void> {
  const logged = count(await list(tenant, sessionId, 'user.message'), (event) => event.id);
  const ended = await endAll(tenant, sessionId, accepted);
  tally.messages += accepted.length;
  for (const id of accepted) {
    const [times, ends] = [logged.get(id) ?? 0, ended.get(id) ?? 0];
    if (times === 0 || ends === 0) tally.lost++;
    if (times > 1 || ends > 1) tally.doubled++;
  }
}

/** How often each message has ended, once all have or patience is over. */
async function endAll(tenant: Tenant, sessionId: string, accepted: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const deadline = performance.now() + PATIENCE_MS;
  for (let round = 0; ; round++) {
    const ended = endsOf(await list(tenant, sessionId, 'turn.ended'));
    const open = accepted.filter((id) => !ended.has(id)).length;
    if (open === 0 || performance.now() > deadline) return ended;
    // A turn under way takes all the interrupts that come together, so in every other round it gets one of its own.
    if (round % 2 === 0) await patiently(() => tenant.interrupt(sessionId, 1));
    else
      for (let left = open; left > 0; left -= PER_REQUEST) await patiently(() => tenant.interrupt(sessionId, Math.min(left, PER_REQUEST)));
    if (round > 2) await sleep(PAUSE_MS);
  }
}

async function list(tenant: Tenant, sessionId: string, type: string): Promise<SessionEvent[]> {
  const events: SessionEvent[] = [];
  let page: string | undefined;
  do {
    const query = { types: type, limit: 1000, ...(page === undefined ? {} : { page }) };
    const next = await patiently(() => tenant.client.events.list(sessionId, query));
    events.push(...next.data);
    page = next.next_page ?? undefined;
  } while (page !== undefined);
  return events;
}

function endsOf(events: readonly SessionEvent[]): Map<string, number> {
  return count(events, (event) => ('event_id' in event ? String(event.event_id) : ''));
}

function count(events: readonly SessionEvent[], idOf: (event: SessionEvent) => string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const event of events) counts.set(idOf(event), (counts.get(idOf(event)) ?? 0) + 1);
  return counts;
}
