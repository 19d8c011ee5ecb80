import assert from 'node:assert/strict';
import type { SessionState, Store, StoredEvent } from '../store.ts';
import {
  accept,
  append,
  ask,
  createSession,
  eventsOf,
  finish,
  getSession,
  interrupt,
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

const remove = (store: Store, id: string, tenantId = TENANT) =>
  store.sessions.remove({ tenantId, id, event: newEvent('session.deleted'), now: T0 + 9 });
const archive = (store: Store, id: string) => store.sessions.archive({ tenantId: TENANT, id, now: T0 + 1 });

async function listIds(store: Store, filter: Partial<Parameters<Store['sessions']['list']>[0]>): Promise<readonly string[]> {
  const page = await store.sessions.list({ tenantId: TENANT, includeArchived: false, limit: 100, order: 'asc', ...filter });
  return page.data.map((session) => session.id);
}

export const sessionLaws: Laws = {
  'a session begins idle and empty': law(async (store) => {
    const session = await createSession(store);
    assert.deepEqual(session, {
      id: session.id,
      tenantId: TENANT,
      agentId: 'agt_one',
      agentVersion: 1,
      agent: { name: 'Ada' },
      environmentId: 'env_one',
      environment: { name: 'here' },
      title: null,
      metadata: {},
      resources: [],
      vaultIds: [],
      state: 'idle',
      lastSeq: 0,
      harnessSessionId: null,
      usage: { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheCreationTokens: 0 },
      activeMs: 0,
      createdAt: T0,
      updatedAt: T0,
      archivedAt: null,
    });
    assert.deepEqual(await getSession(store, session.id), session);
    assert.equal(await store.sessions.find({ tenantId: 'other', id: session.id }), undefined);
  }),

  'a fork has the log through an event, with ids of its own, and leaves the first as it was': law(async (store) => {
    const { id } = await createSession(store);
    const [one, two, three] = [newEvent('user.message'), newEvent('agent.tool_use'), newEvent('agent.tool_result')];
    const linked = { ...three, payload: { tool_use_id: two.id, content: [{ about: two.id }] } };
    for (const event of [one, two, linked]) await store.sessions.update({ tenantId: TENANT, id, event, now: T0 + 1 });
    const from = await getSession(store, id);
    const input = { tenantId: TENANT, from: id, throughSeq: undefined, now: T0 + 5 };
    const whole = await store.sessions.fork({ ...input, id: 'ses_whole', title: 'fork' });
    assert.deepEqual([whole.title, whole.state, whole.lastSeq, whole.createdAt, whole.agent], ['fork', 'idle', 3, T0 + 5, from.agent]);
    assert.deepEqual(await store.sessions.fork({ ...input, id: 'ses_whole' }), whole);
    const copies = await readLog(store, 'ses_whole');
    assert.deepEqual(
      copies.map(({ type, seq }) => [type, seq]),
      [one, two, three].map(({ type }, index) => [type, index + 1]),
    );
    assert.notEqual(copies[1]?.id, two.id);
    assert.deepEqual(copies[2]?.payload, { tool_use_id: copies[1]?.id, content: [{ about: copies[1]?.id }] });
    const part = await store.sessions.fork({ ...input, id: 'ses_part', throughSeq: 1 });
    assert.deepEqual([part.lastSeq, part.title, (await readLog(store, 'ses_part')).length], [1, from.title, 1]);
    assert.deepEqual(await getSession(store, id), from);
    await refuses(store.sessions.fork({ ...input, tenantId: 'other', id: 'ses_other' }), 'session_not_found');
  }),

  'an update replaces what is given and logs its event': law(async (store) => {
    const { id } = await createSession(store);
    const first = await store.sessions.update({
      tenantId: TENANT,
      id,
      title: 'T',
      metadata: { a: 'b' },
      event: newEvent('session.updated'),
      now: T0 + 1,
    });
    assert.deepEqual([first.title, first.metadata, first.lastSeq, first.updatedAt], ['T', { a: 'b' }, 1, T0 + 1]);
    const second = await store.sessions.update({ tenantId: TENANT, id, title: null, agent: { name: 'Bob' }, now: T0 + 2 });
    assert.deepEqual([second.title, second.metadata, second.agent, second.lastSeq], [null, { a: 'b' }, { name: 'Bob' }, 1]);
    assert.deepEqual(
      (await readLog(store, id)).map((event) => event.type),
      ['session.updated'],
    );
    await refuses(store.sessions.update({ tenantId: 'other', id, title: 'x', now: T0 }), 'session_not_found');
    await archive(store, id);
    await refuses(store.sessions.update({ tenantId: TENANT, id, title: 'x', now: T0 }), 'session_archived');
  }),

  'a session is archived only when no turn is open': law(async (store) => {
    const { id } = await createSession(store);
    await queue(store, id);
    await refuses(archive(store, id), 'session_busy');
    const leased = await lease(store);
    await refuses(archive(store, id), 'session_busy');
    await ask(store, leased, { isParked: true });
    await refuses(archive(store, id), 'session_busy');
    await accept(store, id, [interrupt()]);
    const archived = await archive(store, id);
    assert.equal(archived.archivedAt, T0 + 1);
    assert.deepEqual(await store.sessions.archive({ tenantId: TENANT, id, now: T0 + 5 }), archived);
    await refuses(store.sessions.archive({ tenantId: 'other', id, now: T0 }), 'session_not_found');
  }),

  'removing takes everything of the session with it and tells the listeners': law(async (store) => {
    const { id } = await createSession(store);
    const other = await createSession(store);
    const idempotency = { key: 'k', requestHash: 'h', keepMs: 1_000_000 };
    await store.turns.accept({ tenantId: TENANT, sessionId: id, events: [message()], idempotency, maxQueuedPerSession: 9, now: T0 });
    const leased = await lease(store);
    await refuses(remove(store, id), 'session_busy');
    await ask(store, leased);
    await refuses(remove(store, id), 'session_busy');
    await append(store, leased, { state: 'waiting_approval', isParked: true });
    await queue(store, id);
    await queue(store, other.id);
    const { lastSeq } = await getSession(store, id);
    const heard: StoredEvent[] = [];
    store.events.onCommit((notices) => heard.push(...eventsOf(notices)));
    assert.equal(await remove(store, id, 'other'), false);
    assert.equal(await remove(store, id), true);
    assert.equal(await remove(store, id), false);
    assert.deepEqual(
      heard.map((event) => [event.type, event.sessionId, event.seq, event.createdAt]),
      [['session.deleted', id, lastSeq + 1, T0 + 9]],
    );
    assert.equal(await store.sessions.find({ tenantId: TENANT, id }), undefined);
    assert.equal(await store.turns.find({ tenantId: TENANT, id: leased.turn.id }), undefined);
    assert.deepEqual(await readLog(store, id), []);
    assert.deepEqual(await store.turns.approvals({ tenantId: TENANT, sessionId: id }), []);
    assert.deepEqual(await store.turns.counts(), { queued: 1, running: 0, waitingApproval: 0 });
    const again = await store.turns.accept({
      tenantId: TENANT,
      sessionId: other.id,
      events: [message()],
      idempotency,
      maxQueuedPerSession: 9,
      now: T0,
    });
    assert.equal(again.isReplay, false);
  }),

  'existing tells which ids are of sessions, of any tenant': law(async (store) => {
    const mine = await createSession(store);
    const theirs = await createSession(store, { tenantId: 'other' });
    assert.deepEqual(await store.sessions.existing({ ids: [mine.id, 'ses_gone', theirs.id] }), new Set([mine.id, theirs.id]));
    assert.deepEqual(await store.sessions.existing({ ids: [] }), new Set());
  }),

  'sessions are listed by time of creation, both ways': law(async (store) => {
    const all = [];
    for (let index = 0; index < 7; index++) all.push(await createSession(store, { now: T0 + Math.floor(index / 3) }));
    await createSession(store, { tenantId: 'other' });
    const expected = all.sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1));
    for (const order of ['asc', 'desc'] as const) {
      const pages = await readPages((paging) => store.sessions.list({ tenantId: TENANT, includeArchived: true, order, ...paging }), 3);
      assert.deepEqual(pages.flat(), order === 'asc' ? expected : expected.toReversed());
    }
  }),

  'a listing in pages is not shifted by rows that come and go': law(async (store) => {
    const all = [];
    for (let index = 0; index < 4; index++) all.push(await createSession(store, { now: T0 + index }));
    const list = (page?: string) => store.sessions.list({ tenantId: TENANT, includeArchived: true, limit: 2, order: 'desc', page });
    const first = await list();
    await createSession(store, { now: T0 + 9 });
    await remove(store, all[2]?.id ?? '');
    const second = await list(first.next ?? assert.fail('there is a second page'));
    assert.deepEqual(
      second.data.map((session) => session.id),
      [all[1]?.id, all[0]?.id],
    );
  }),

  'sessions are filtered by agent, version, state, archive and time': law(async (store) => {
    const a = await createSession(store, { now: T0 });
    const b = await createSession(store, { now: T0 + 1, agentId: 'agt_two' });
    const c = await createSession(store, { now: T0 + 2, agentId: 'agt_two', agentVersion: 2 });
    const d = await createSession(store, { now: T0 + 3 });
    await queue(store, c.id);
    await lease(store);
    await archive(store, d.id);
    assert.deepEqual(await listIds(store, {}), [a.id, b.id, c.id]);
    assert.deepEqual(await listIds(store, { includeArchived: true }), [a.id, b.id, c.id, d.id]);
    assert.deepEqual(await listIds(store, { agentId: 'agt_two' }), [b.id, c.id]);
    assert.deepEqual(await listIds(store, { agentId: 'agt_two', agentVersion: 2 }), [c.id]);
    assert.deepEqual(await listIds(store, { states: ['running'] }), [c.id]);
    assert.deepEqual(await listIds(store, { states: ['running', 'idle'] }), [a.id, b.id, c.id]);
    assert.deepEqual(await listIds(store, { states: [] satisfies SessionState[] }), []);
    assert.deepEqual(await listIds(store, { createdGt: T0, createdLt: T0 + 2 }), [b.id]);
    assert.deepEqual(await listIds(store, { createdGte: T0 + 1, createdLte: T0 + 2 }), [b.id, c.id]);
  }),

  'a cursor of another listing, order or tenant, or no cursor at all, is refused': law(async (store) => {
    for (let index = 0; index < 3; index++) await createSession(store, { now: T0 + index });
    const list = (page: string | undefined, order: 'asc' | 'desc' = 'asc', tenantId = TENANT) =>
      store.sessions.list({ tenantId, includeArchived: false, limit: 1, order, page });
    const { next } = await list(undefined);
    assert(next !== null);
    await refuses(list(next, 'desc'), 'cursor_invalid');
    await refuses(list(next, 'asc', 'other'), 'cursor_invalid');
    await refuses(store.agents.list({ tenantId: TENANT, includeArchived: false, limit: 1, order: 'asc', page: next }), 'cursor_invalid');
    for (const page of [
      '',
      'x',
      next.slice(0, -3),
      `${next}AAAA`,
      Buffer.from('[]').toString('base64url'),
      Buffer.from('null').toString('base64url'),
    ]) {
      await refuses(list(page), 'cursor_invalid');
    }
  }),

  'active time adds up over turns': law(async (store) => {
    const { id } = await createSession(store);
    await queue(store, id);
    await finish(store, await lease(store, { now: T0 + 10 }), { now: T0 + 110 });
    await queue(store, id);
    await finish(store, await lease(store, { now: T0 + 500 }), { now: T0 + 530 });
    assert.equal((await getSession(store, id)).activeMs, 130);
  }),
};
