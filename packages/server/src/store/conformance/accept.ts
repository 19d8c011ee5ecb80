import assert from 'node:assert/strict';
import type { AcceptedEventInput, Store, StoredEvent } from '../store.ts';
import {
  accept,
  confirmation,
  createSession,
  eventsOf,
  finish,
  getSession,
  getTurn,
  type Laws,
  law,
  lease,
  message,
  newEvent,
  queue,
  readLog,
  refuses,
  T0,
  TENANT,
} from './kit.ts';

interface Request {
  readonly key?: string;
  readonly requestHash?: string;
  readonly keepMs?: number;
  readonly now?: number;
  readonly events?: readonly AcceptedEventInput[];
}

function send(store: Store, sessionId: string, request: Request) {
  const { key = 'key', requestHash = 'hash', keepMs = 1_000_000, now = T0, events = [message()] } = request;
  return store.turns.accept({
    tenantId: TENANT,
    sessionId,
    events,
    idempotency: { key, requestHash, keepMs },
    maxQueuedPerSession: 9,
    now,
  });
}

export const acceptLaws: Laws = {
  'a message becomes an event and a queued turn': law(async (store) => {
    const { id } = await createSession(store);
    const input = message();
    const { events, turnIds, isReplay } = await accept(store, id, [input], T0 + 1);
    assert.deepEqual([turnIds, isReplay], [[input.effect.turnId], false]);
    assert.deepEqual(
      events.map((event) => [event.id, event.seq, event.turnId, event.processedAt]),
      [[input.id, 1, input.effect.turnId, null]],
    );
    assert.deepEqual(await getTurn(store, input.effect.turnId), {
      id: input.effect.turnId,
      tenantId: TENANT,
      sessionId: id,
      eventId: input.id,
      agentId: 'agt_one',
      state: 'queued',
      priority: 'message',
      retries: 0,
      retryAt: null,
      stages: null,
      traceparent: null,
      steeredInto: null,
      attempt: 0,
      leaseOwner: null,
      leaseUntil: null,
      promptedAt: null,
      cancelRequested: false,
      isContinuation: false,
      stopReason: null,
      error: null,
      createdAt: T0 + 1,
      startedAt: null,
      endedAt: null,
    });
    const session = await getSession(store, id);
    assert.deepEqual([session.state, session.lastSeq, session.updatedAt], ['idle', 1, T0 + 1]);
    assert.equal(await store.turns.find({ tenantId: 'other', id: input.effect.turnId }), undefined);
  }),

  'several events are accepted in order, in one commit': law(async (store) => {
    const { id } = await createSession(store);
    const heard: (readonly StoredEvent[])[] = [];
    store.events.onCommit((notices) => heard.push(eventsOf(notices)));
    const inputs = [message('a'), { ...newEvent('user.note'), effect: { kind: 'none' } as const }, message('b')];
    const { events, turnIds } = await accept(store, id, inputs);
    assert.deepEqual(
      events.map((event) => event.id),
      inputs.map((input) => input.id),
    );
    assert.equal(turnIds.length, 2);
    assert.deepEqual(
      events.map((event) => event.turnId),
      [turnIds[0], null, turnIds[1]],
    );
    assert.deepEqual(heard, [events]);
  }),

  'one event that is refused refuses all': law(async (store) => {
    const { id } = await createSession(store);
    await refuses(send(store, id, { events: [message(), confirmation('evt_none')] }), 'event_not_found');
    assert.deepEqual(await readLog(store, id), []);
    assert.deepEqual(await store.turns.counts(), { queued: 0, running: 0, waitingApproval: 0 });
    assert.equal((await send(store, id, {})).isReplay, false, 'the key was not taken');
  }),

  'a session that is missing, foreign or archived takes nothing': law(async (store) => {
    const { id } = await createSession(store);
    const theirs = await createSession(store, { tenantId: 'other' });
    await refuses(accept(store, 'ses_none', [message()]), 'session_not_found');
    await refuses(accept(store, theirs.id, [message()]), 'session_not_found');
    await store.sessions.archive({ tenantId: TENANT, id, now: T0 });
    await refuses(accept(store, id, [message()]), 'session_archived');
    assert.deepEqual(await readLog(store, id), []);
  }),

  'a full queue refuses, and what runs does not count': law(async (store) => {
    const { id } = await createSession(store);
    const add = (count: number) =>
      store.turns.accept({
        tenantId: TENANT,
        sessionId: id,
        events: Array.from({ length: count }, () => message()),
        maxQueuedPerSession: 2,
        now: T0,
      });
    await refuses(add(3), 'capacity_exhausted');
    assert.deepEqual(await readLog(store, id), []);
    await add(2);
    await refuses(add(1), 'capacity_exhausted');
    const leased = await lease(store);
    await add(1);
    await refuses(add(1), 'capacity_exhausted');
    await finish(store, leased);
    await refuses(add(1), 'capacity_exhausted');
  }),

  'the same request under its key is answered again and does nothing': law(async (store) => {
    const { id } = await createSession(store);
    const first = await send(store, id, { events: [message('a'), message('b')] });
    const again = await send(store, id, { events: [message('a'), message('b')], now: T0 + 500 });
    assert.deepEqual(again, { ...first, isReplay: true });
    assert.equal((await readLog(store, id)).length, 2);
    assert.equal((await store.turns.counts()).queued, 2);
  }),

  'of many at once with one key one is done': law(async (store) => {
    const { id } = await createSession(store);
    const results = await Promise.all(Array.from({ length: 10 }, () => send(store, id, {})));
    assert.equal(results.filter((result) => !result.isReplay).length, 1);
    assert.equal(new Set(results.map((result) => result.turnIds[0])).size, 1);
    assert.equal((await readLog(store, id)).length, 1);
  }),

  'a replay shows what has become of the events': law(async (store) => {
    const { id } = await createSession(store);
    await send(store, id, {});
    await finish(store, await lease(store), { now: T0 + 7 });
    await store.sessions.archive({ tenantId: TENANT, id, now: T0 + 8 });
    const replay = await send(store, id, { now: T0 + 9 });
    assert.equal(replay.events[0]?.processedAt, T0 + 7);
  }),

  'another request under a known key is refused': law(async (store) => {
    const { id } = await createSession(store);
    await send(store, id, {});
    await refuses(send(store, id, { requestHash: 'other' }), 'idempotency_mismatch');
    assert.equal((await readLog(store, id)).length, 1);
  }),

  'a key is of its tenant': law(async (store) => {
    const mine = await createSession(store);
    const theirs = await createSession(store, { tenantId: 'other' });
    await send(store, mine.id, {});
    const idempotency = { key: 'key', requestHash: 'other', keepMs: 1_000_000 };
    const result = await store.turns.accept({
      tenantId: 'other',
      sessionId: theirs.id,
      events: [message()],
      idempotency,
      maxQueuedPerSession: 9,
      now: T0,
    });
    assert.equal(result.isReplay, false);
  }),

  'an expired key is as good as none': law(async (store) => {
    const { id } = await createSession(store);
    await send(store, id, { keepMs: 0 });
    const renewed = await send(store, id, { requestHash: 'other' });
    assert.equal(renewed.isReplay, false);
    assert.equal((await send(store, id, { requestHash: 'other' })).isReplay, true);
  }),

  'a wall clock that jumps makes no key expire': law(async (store) => {
    const { id } = await createSession(store);
    await send(store, id, {});
    assert.equal((await send(store, id, { now: T0 + 25 * 3_600_000 })).isReplay, true);
  }),

  'a turn remembers its trace, and the oldest one that waits is known': law(async (store) => {
    assert.deepEqual(await store.turns.waits(), { oldestQueuedAt: undefined, openApprovals: 0 });
    const { id } = await createSession(store);
    const input = message();
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    await accept(store, id, [{ ...input, effect: { ...input.effect, traceparent } }], T0 + 1);
    await accept(store, id, [message()], T0 + 2);
    assert.deepEqual(await store.turns.waits(), { oldestQueuedAt: T0 + 1, openApprovals: 0 });
    const { turn } = await lease(store);
    assert.equal(turn.traceparent, traceparent);
    assert.deepEqual(await store.turns.waits(), { oldestQueuedAt: T0 + 2, openApprovals: 0 });
  }),

  'counts tell the open turns': law(async (store) => {
    const { id } = await createSession(store);
    await queue(store, id);
    await queue(store, id);
    const leased = await lease(store);
    assert.deepEqual(await store.turns.counts(), { queued: 1, running: 1, waitingApproval: 0 });
    await finish(store, leased);
    assert.deepEqual(await store.turns.counts(), { queued: 1, running: 0, waitingApproval: 0 });
  }),
};
