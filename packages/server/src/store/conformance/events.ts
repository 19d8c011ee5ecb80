import assert from 'node:assert/strict';
import type { Store, StoredEvent } from '../store.ts';
import {
  accept,
  append,
  createSession,
  eventsOf,
  finish,
  getSession,
  type Laws,
  law,
  lease,
  message,
  newEvent,
  queue,
  readLog,
  readPages,
  refuses,
  T0,
  TENANT,
} from './kit.ts';

/** Lists by any filter; the answer is the seqs. */
async function listSeqs(
  store: Store,
  sessionId: string,
  filter: Partial<Parameters<Store['events']['list']>[0]>,
): Promise<readonly number[]> {
  const page = await store.events.list({ tenantId: TENANT, sessionId, limit: 100, order: 'asc', ...filter });
  return page.data.map((event) => event.seq);
}

export const eventLaws: Laws = {
  'seq counts from 1 without a gap, whatever is refused in between': law(async (store) => {
    const sessions = [await createSession(store), await createSession(store)];
    const calls = Array.from({ length: 60 }, (_, index) => {
      const session = sessions[index % 2] ?? assert.fail('two sessions');
      return index % 5 === 0
        ? accept(store, session.id, [message(), message('refused'), { ...message(), id: 'evt_same' }])
        : queue(store, session.id);
    });
    await Promise.allSettled(calls);
    for (const session of sessions) {
      const log = await readLog(store, session.id);
      assert.deepEqual(
        log.map((event) => event.seq),
        log.map((_, index) => index + 1),
      );
      assert.equal((await getSession(store, session.id)).lastSeq, log.length);
    }
  }),

  'an event is stored as it was given': law(async (store) => {
    const { id } = await createSession(store);
    const input = { ...message('Grüße \u0000 𝕏 "quoted"'), payload: { text: 'Grüße \u0000 𝕏', deep: [{ n: 1.5, none: null, yes: true }] } };
    const { events, turnIds } = await accept(store, id, [input], T0 + 3);
    const expected: StoredEvent = {
      id: input.id,
      tenantId: TENANT,
      sessionId: id,
      seq: 1,
      turnId: turnIds[0] ?? null,
      type: 'user.message',
      payload: input.payload,
      createdAt: T0 + 3,
      processedAt: null,
    };
    assert.deepEqual(events, [expected]);
    assert.deepEqual(await readLog(store, id), [expected]);
    assert.deepEqual(await store.events.find({ tenantId: TENANT, sessionId: id, id: input.id }), expected);
  }),

  'events of another tenant or session are as good as missing': law(async (store) => {
    const { id } = await createSession(store);
    const other = await createSession(store);
    const { events } = await accept(store, id, [message()]);
    const eventId = events[0]?.id ?? '';
    assert.equal(await store.events.find({ tenantId: 'other', sessionId: id, id: eventId }), undefined);
    assert.equal(await store.events.find({ tenantId: TENANT, sessionId: other.id, id: eventId }), undefined);
    assert.deepEqual(await store.events.listAfter({ tenantId: 'other', sessionId: id, after: 0, limit: 9 }), []);
    assert.deepEqual(await listSeqs(store, id, { tenantId: 'other' }), []);
  }),

  'a replay goes on after the seq it is given': law(async (store) => {
    const { id } = await createSession(store);
    for (let index = 0; index < 5; index++) await queue(store, id);
    const after = (seq: number, limit: number) => store.events.listAfter({ tenantId: TENANT, sessionId: id, after: seq, limit });
    assert.deepEqual(
      (await after(2, 2)).map((event) => event.seq),
      [3, 4],
    );
    assert.deepEqual(await after(5, 2), []);
  }),

  'the heads of logs are told for many sessions at once': law(async (store) => {
    const { id } = await createSession(store);
    const empty = await createSession(store);
    for (let index = 0; index < 3; index++) await queue(store, id);
    const heads = await store.events.heads({ sessionIds: [id, empty.id, 'ses_none'] });
    assert.deepEqual(Object.fromEntries(heads), { [id]: 3, [empty.id]: 0 });
    assert.equal((await store.events.heads({ sessionIds: [] })).size, 0);
  }),

  'the log is listed in order, both ways, and filtered': law(async (store) => {
    const { id } = await createSession(store);
    const turnId = await queue(store, id, T0);
    await queue(store, id, T0 + 1);
    const leased = await lease(store, { now: T0 + 2 });
    await append(store, leased, { events: [newEvent('agent.message'), newEvent('agent.tool_use')], now: T0 + 3 });
    const log = await readLog(store, id);
    for (const order of ['asc', 'desc'] as const) {
      const pages = await readPages((paging) => store.events.list({ tenantId: TENANT, sessionId: id, order, ...paging }), 2);
      assert.deepEqual(pages.flat(), order === 'asc' ? log : log.toReversed());
    }
    assert.deepEqual(await listSeqs(store, id, { types: ['user.message', 'agent.tool_use'] }), [1, 2, 5]);
    assert.deepEqual(await listSeqs(store, id, { types: [] }), []);
    assert.deepEqual(await listSeqs(store, id, { turnId }), [1, 3, 4, 5]);
    assert.deepEqual(await listSeqs(store, id, { createdGt: T0, createdLte: T0 + 2 }), [2, 3]);
    assert.deepEqual(await listSeqs(store, id, { createdGte: T0 + 2, createdLt: T0 + 3 }), [3]);
    await refuses(listSeqs(store, id, { page: 'x' }), 'cursor_invalid');
  }),

  'listeners hear each commit once, after it is on disk, until they stop': law(async (store) => {
    const { id } = await createSession(store);
    const heard: StoredEvent[] = [];
    const checks: Promise<void>[] = [];
    const stop = store.events.onCommit((notices) => {
      const events = eventsOf(notices);
      heard.push(...events);
      const last = events.at(-1);
      checks.push(
        readLog(store, id).then((log) =>
          assert.ok(
            log.some((event) => event.id === last?.id),
            'what is heard can be read',
          ),
        ),
      );
    });
    await Promise.all(Array.from({ length: 20 }, () => queue(store, id)));
    await finish(store, await lease(store));
    await refuses(
      accept(store, id, [
        { ...message() },
        { ...newEvent('x'), effect: { kind: 'confirmation', approvalId: 'none', decision: 'granted', denyMessage: null } },
      ]),
      'event_not_found',
    );
    await Promise.all(checks);
    const ids = (await readLog(store, id)).map((event) => event.id);
    assert.deepEqual(
      heard.toSorted((a, b) => a.seq - b.seq).map((event) => event.id),
      ids,
    );
    stop();
    await queue(store, id);
    assert.equal(heard.length, ids.length);
  }),
};
