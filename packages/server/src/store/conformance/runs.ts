import assert from 'node:assert/strict';
import type { LeasedTurn, Store } from '../store.ts';
import {
  append,
  ask,
  createSession,
  finish,
  getSession,
  getTurn,
  type Laws,
  LEASE_MS,
  law,
  lease,
  newEvent,
  queue,
  readLog,
  readTypes,
  refuses,
  T0,
} from './kit.ts';

const requeue = (store: Store, { turn }: LeasedTurn) =>
  store.turns.requeue({ turnId: turn.id, attempt: turn.attempt, events: [newEvent('session.status_rescheduled')], now: T0 });
const heartbeat = (store: Store, { turn }: LeasedTurn) =>
  store.turns.heartbeat({ turnId: turn.id, attempt: turn.attempt, leaseMs: LEASE_MS });

/** Every way in which a run writes is refused, and leaves the store as it is. */
async function holdsNoMore(store: Store, leased: LeasedTurn): Promise<void> {
  const read = async () => [
    await getTurn(store, leased.turn.id),
    await getSession(store, leased.session.id),
    await readLog(store, leased.session.id),
  ];
  const before = await read();
  await refuses(heartbeat(store, leased), 'lease_lost');
  await refuses(append(store, leased, { events: [newEvent('agent.message')] }), 'lease_lost');
  const usage = { inputTokens: 1, outputTokens: 1, cacheReadTokens: 1, cacheCreationTokens: 1 };
  await refuses(append(store, leased, { state: 'waiting_approval', harnessSessionId: 'stale', usage, isPrompted: true }), 'lease_lost');
  await refuses(finish(store, leased), 'lease_lost');
  await refuses(requeue(store, leased), 'lease_lost');
  assert.deepEqual(await read(), before);
}

export const runLaws: Laws = {
  'a heartbeat extends the lease': law(async (store) => {
    const { id } = await createSession(store);
    const turnId = await queue(store, id);
    const { turn } = await lease(store);
    const extended = await store.turns.heartbeat({ turnId, attempt: turn.attempt, leaseMs: 10 * LEASE_MS });
    assert.deepEqual(extended, { cancelRequested: false });
    const gained = ((await getTurn(store, turnId)).leaseUntil ?? 0) - (turn.leaseUntil ?? 0);
    assert.ok(gained >= 9 * LEASE_MS && gained < 10 * LEASE_MS, `${gained} ms`);
  }),

  'what a run writes is in the log in order, with its turn': law(async (store) => {
    const { id } = await createSession(store);
    const turnId = await queue(store, id);
    const leased = await lease(store);
    const stored = await append(store, leased, {
      events: [newEvent('agent.thinking'), newEvent('agent.message', { text: 'hi' })],
      now: T0 + 4,
    });
    assert.deepEqual(
      stored.map((event) => [event.seq, event.type, event.turnId, event.createdAt]),
      [
        [3, 'agent.thinking', turnId, T0 + 4],
        [4, 'agent.message', turnId, T0 + 4],
      ],
    );
    assert.deepEqual((await readLog(store, id)).slice(2), stored);
    assert.deepEqual(await append(store, leased, {}), []);
  }),

  'a run notes its prompt, its harness session and its usage': law(async (store) => {
    const { id } = await createSession(store);
    const turnId = await queue(store, id);
    const leased = await lease(store);
    const usage = { inputTokens: 10, outputTokens: 2, cacheReadTokens: 3, cacheCreationTokens: 4 };
    await append(store, leased, { isPrompted: true, harnessSessionId: 'acp-1', now: T0 + 4 });
    await append(store, leased, { usage });
    assert.equal((await getTurn(store, turnId)).promptedAt, T0 + 4, 'the time of the prompt stays');
    await finish(store, leased, { usage });
    const session = await getSession(store, id);
    assert.equal(session.harnessSessionId, 'acp-1');
    assert.deepEqual(session.usage, { inputTokens: 20, outputTokens: 4, cacheReadTokens: 6, cacheCreationTokens: 8 });
  }),

  'turn and session wait and run together': law(async (store) => {
    const { id } = await createSession(store);
    const turnId = await queue(store, id);
    const leased = await lease(store);
    const states = async () => [(await getTurn(store, turnId)).state, (await getSession(store, id)).state];
    await append(store, leased, { state: 'waiting_approval' });
    assert.deepEqual(await states(), ['waiting_approval', 'waiting']);
    await append(store, leased, { state: 'running' });
    assert.deepEqual(await states(), ['running', 'running']);
    assert.deepEqual(await heartbeat(store, leased), { cancelRequested: false });
  }),

  'the end of a turn is written once, whole': law(async (store) => {
    const { id } = await createSession(store);
    const turnId = await queue(store, id);
    const leased = await lease(store, { now: T0 + 1 });
    const error = { code: 'harness_failed', message: 'it broke' };
    const stored = await finish(store, leased, { outcome: 'failed', stopReason: null, error, now: T0 + 9 });
    assert.deepEqual(
      stored.map((event) => [event.type, event.turnId]),
      [
        ['turn.ended', turnId],
        ['session.status_idle', turnId],
      ],
    );
    const turn = await getTurn(store, turnId);
    assert.deepEqual([turn.state, turn.error, turn.stopReason, turn.endedAt, turn.leaseOwner], ['failed', error, null, T0 + 9, null]);
    assert.equal((await readLog(store, id))[0]?.processedAt, T0 + 9);
    assert.equal((await getSession(store, id)).state, 'idle');
    await holdsNoMore(store, leased);
  }),

  'a turn that waits for an approval can end': law(async (store) => {
    const { id } = await createSession(store);
    await queue(store, id);
    await queue(store, id);
    const leased = await lease(store);
    await ask(store, leased);
    await finish(store, leased, { outcome: 'cancelled', stopReason: 'cancelled' });
    await lease(store);
    assert.deepEqual((await readTypes(store, id)).slice(-2), ['turn.ended', 'session.status_running']);
  }),

  'a turn that is handed back is first in line again': law(async (store) => {
    const { id } = await createSession(store);
    const other = await createSession(store);
    const turnId = await queue(store, id);
    await queue(store, id);
    await queue(store, other.id);
    const leased = await lease(store);
    await append(store, leased, { isPrompted: true });
    await requeue(store, leased);
    const turn = await getTurn(store, turnId);
    assert.deepEqual([turn.state, turn.leaseOwner, turn.promptedAt, turn.attempt], ['queued', null, null, 1]);
    assert.equal((await getSession(store, id)).state, 'rescheduling');
    await holdsNoMore(store, leased);
    const again = await lease(store);
    assert.deepEqual([again.turn.id, again.turn.attempt], [turnId, 2]);
    assert.deepEqual((await readTypes(store, id)).slice(-2), ['session.status_rescheduled', 'session.status_running']);
    await holdsNoMore(store, leased);
    await finish(store, again);
  }),

  'a run that has parked its turn holds it no more': law(async (store) => {
    const { id } = await createSession(store);
    await queue(store, id);
    const leased = await lease(store);
    await ask(store, leased, { isParked: true });
    await holdsNoMore(store, leased);
  }),

  'an unknown turn is held by nobody': law(async (store) => {
    const { id } = await createSession(store);
    await queue(store, id);
    const leased = await lease(store);
    await refuses(store.turns.heartbeat({ turnId: 'trn_none', attempt: 1, leaseMs: LEASE_MS }), 'lease_lost');
    await refuses(store.turns.heartbeat({ turnId: leased.turn.id, attempt: 2, leaseMs: LEASE_MS }), 'lease_lost');
  }),

  'of two ends at once one is written': law(async (store) => {
    const { id } = await createSession(store);
    await queue(store, id);
    const leased = await lease(store);
    const results = await Promise.allSettled([finish(store, leased), finish(store, leased, { outcome: 'failed' })]);
    assert.deepEqual(
      results.map((result) => result.status),
      ['fulfilled', 'rejected'],
    );
    assert.equal((await readTypes(store, id)).filter((type) => type === 'turn.ended').length, 1);
  }),
};
