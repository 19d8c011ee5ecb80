import assert from 'node:assert/strict';
import { newId } from '../../base/ids.ts';
import type { LeasedTurn, Store, TurnPriority } from '../store.ts';
import {
  accept,
  createSession,
  finish,
  getTurn,
  type Laws,
  law,
  lease,
  message,
  NODE,
  newEvent,
  queue,
  readTypes,
  T0,
  tryLease,
  VOLUME,
} from './kit.ts';

interface Asking {
  readonly tenantId?: string;
  readonly agentId?: string;
  readonly priority?: TurnPriority;
  readonly cap?: number;
}

/** A session with one turn that waits; answers the turn. */
async function waiting(
  store: Store,
  { tenantId = 'default', agentId = 'agt_one', priority = 'message', cap }: Asking = {},
): Promise<string> {
  const { id: sessionId } = await createSession(store, { tenantId, agentId });
  const turnId = newId('turn');
  const effect = { kind: 'message', turnId, priority } as const;
  const events = [{ ...newEvent('user.message'), effect }];
  const policyOf = () => ({ isRefusedWhileBusy: false, maxConcurrent: cap ?? null });
  await store.turns.accept({ tenantId, sessionId, events, policyOf, maxQueuedPerSession: 9, now: T0 });
  return turnId;
}

const putBack = (store: Store, { turn }: LeasedTurn, retryInMs?: number) =>
  store.turns.requeue({ turnId: turn.id, attempt: turn.attempt, events: [newEvent('session.status_rescheduled')], retryInMs, now: T0 });

export const queueLaws: Laws = {
  "a tenant's flood delays another's next turn by one slot at most": law(async (store) => {
    for (let round = 0; round < 20; round++) await Promise.all(Array.from({ length: 10 }, () => waiting(store, { tenantId: 'flood' })));
    await lease(store);
    const other = await waiting(store, { tenantId: 'other' });
    const next = [(await lease(store)).turn.id, (await lease(store)).turn.id];
    assert.ok(next.includes(other));
  }),

  'tenants take turns, whatever each has queued': law(async (store) => {
    for (const tenantId of ['a', 'a', 'a', 'b', 'c', 'b']) await waiting(store, { tenantId });
    const order = [];
    for (let one = await tryLease(store); one !== undefined; one = await tryLease(store)) order.push(one.turn.tenantId);
    assert.deepEqual(order, ['a', 'b', 'c', 'a', 'b', 'a']);
  }),

  'a tenant at its cap is passed by, until one of its turns ends': law(async (store) => {
    for (const tenantId of ['a', 'a', 'b']) await waiting(store, { tenantId });
    const caps = { perTenant: 1 };
    const first = await lease(store, { caps });
    assert.deepEqual([first.turn.tenantId, (await lease(store, { caps })).turn.tenantId], ['a', 'b']);
    assert.equal(await tryLease(store, { caps }), undefined);
    await finish(store, first);
    assert.equal((await lease(store, { caps })).turn.tenantId, 'a');
  }),

  "an agent at its cap is passed by, and its own cap counts before the installation's": law(async (store) => {
    for (const agentId of ['agt_a', 'agt_a', 'agt_b']) await waiting(store, { agentId });
    for (let index = 0; index < 3; index++) await waiting(store, { agentId: 'agt_own', cap: 2 });
    const agents = [];
    const caps = { perAgent: 1 };
    for (let one = await tryLease(store, { caps }); one !== undefined; one = await tryLease(store, { caps })) agents.push(one.turn.agentId);
    assert.deepEqual(agents.sort(), ['agt_a', 'agt_b', 'agt_own', 'agt_own']);
  }),

  'a look says whether a lease would find something': law(async (store) => {
    const look = (caps = {}) => store.turns.hasReady({ nodeId: NODE, volumeId: VOLUME, caps });
    assert.equal(await look(), false);
    await waiting(store);
    assert.equal(await look(), true);
    const leased = await lease(store);
    assert.equal(await look(), false);
    await waiting(store);
    assert.deepEqual([await look({ perTenant: 1 }), await look()], [false, true]);
    await finish(store, leased);
    assert.equal(await look({ perTenant: 1 }), true);
  }),

  'a scheduled turn goes before the backlog': law(async (store) => {
    for (let index = 0; index < 3; index++) await waiting(store);
    const scheduled = await waiting(store, { priority: 'scheduled' });
    const leased = await lease(store);
    assert.deepEqual([leased.turn.id, leased.turn.priority], [scheduled, 'scheduled']);
  }),

  'a turn that is put off is not leased before its time, and keeps its place': law(async (store) => {
    const { id } = await createSession(store);
    const [first, second] = [await queue(store, id), await queue(store, id)];
    await putBack(store, await lease(store), 3_600_000);
    const row = await getTurn(store, first);
    assert.deepEqual([row.state, row.retries, row.attempt], ['queued', 1, 1]);
    assert.notEqual(row.retryAt, null);
    assert.equal(await tryLease(store), undefined, 'nor is what came after it');
    assert.equal((await getTurn(store, second)).state, 'queued');
    assert.equal((await readTypes(store, id)).at(-1), 'session.status_rescheduled');
  }),

  'a turn that is put back, or put off for no time, is leased at once': law(async (store) => {
    const { id } = await createSession(store);
    const [first, second] = [await queue(store, id), await queue(store, id)];
    await putBack(store, await lease(store));
    const again = await lease(store);
    assert.deepEqual([again.turn.id, again.turn.attempt, again.turn.retries], [first, 2, 0]);
    await putBack(store, again, 0);
    const third = await lease(store);
    assert.deepEqual([third.turn.id, third.turn.attempt, third.turn.retries, third.turn.retryAt], [first, 3, 1, null]);
    await finish(store, third);
    assert.equal((await lease(store)).turn.id, second);
  }),

  'a message is handed to the running turn, given back, and shares its outcome': law(async (store) => {
    const { id } = await createSession(store);
    await queue(store, id);
    const host = await lease(store);
    const token = { turnId: host.turn.id, attempt: host.turn.attempt };
    assert.equal(await store.turns.steer(token), undefined);
    const [one, two] = [message('one'), message('two')];
    await accept(store, id, [one, two]);
    assert.equal((await store.turns.steer(token))?.id, one.id);
    assert.equal((await store.turns.steer(token))?.id, two.id);
    assert.equal((await getTurn(store, one.effect.turnId)).steeredInto, host.turn.id);
    await store.turns.unsteer({ ...token, eventId: two.id });
    assert.equal((await getTurn(store, two.effect.turnId)).steeredInto, null);
    await finish(store, host, { endedSteered: (turn) => [newEvent('turn.ended', { turn: turn.id })] });
    assert.equal((await getTurn(store, one.effect.turnId)).state, 'completed');
    assert.equal((await lease(store)).turn.id, two.effect.turnId);
  }),

  'a steered message has a turn of its own when the running one is put back': law(async (store) => {
    const { id } = await createSession(store);
    await queue(store, id);
    const host = await lease(store);
    const steered = message();
    await accept(store, id, [steered]);
    await store.turns.steer({ turnId: host.turn.id, attempt: host.turn.attempt });
    await putBack(store, host);
    assert.equal((await getTurn(store, steered.effect.turnId)).steeredInto, null);
    await finish(store, await lease(store));
    assert.equal((await lease(store)).turn.id, steered.effect.turnId);
  }),
};
