import assert from 'node:assert/strict';
import type { SessionRow, Store } from '../store.ts';
import { accept, createSession, finish, getSession, getTurn, type Laws, law, lease, message, queue, readLog, T0, TENANT } from './kit.ts';

const DAY_MS = 24 * 3600 * 1000;

/** A session with one ended turn, all of it at `now`. */
async function endedSession(store: Store, now: number): Promise<{ readonly session: SessionRow; readonly turnId: string }> {
  const session = await createSession(store, { now });
  const turnId = await endTurn(store, session.id, now);
  return { session, turnId };
}

async function endTurn(store: Store, sessionId: string, now: number): Promise<string> {
  const turnId = await queue(store, sessionId, now);
  await finish(store, await lease(store, { now }), { now });
  return turnId;
}

const of = (session: { readonly id: string }) => ({ tenantId: TENANT, sessionId: session.id });

export const retentionLaws: Laws = {
  'sessions are walked through in pages, each once, with what decides about them': law(async (store) => {
    const ids: string[] = [];
    for (let index = 0; index < 5; index++) ids.push((await createSession(store, { now: T0 + index, tenantId: `tnt_${index}` })).id);
    const { session } = await endedSession(store, T0 + 9);
    const seen = [];
    for (let page = await store.retention.sessions({ after: '', limit: 2 }); page.length > 0; ) {
      seen.push(...page);
      page = await store.retention.sessions({ after: page.at(-1)?.id ?? '', limit: 2 });
    }
    assert.deepEqual(
      seen.map(({ id }) => id),
      [...ids, session.id].sort(),
    );
    const aging = seen.find(({ id }) => id === session.id);
    assert.deepEqual([aging?.state, aging?.updatedAt, aging?.oldestEventAt], ['idle', T0 + 9, T0 + 9]);
    assert.equal(seen.find(({ id }) => id === ids[0])?.oldestEventAt, null);
  }),

  'only what is idle for long and has no open turn is condemned, and takes nothing more': law(async (store) => {
    const { session: old } = await endedSession(store, T0);
    const { session: fresh } = await endedSession(store, T0 + DAY_MS);
    const waiting = await createSession(store);
    await queue(store, waiting.id);
    const condemn = (session: SessionRow) => store.retention.condemn({ ...of(session), idleBefore: T0 + 1, now: T0 + DAY_MS });
    assert.deepEqual([await condemn(old), await condemn(fresh), await condemn(waiting)], [true, false, false]);
    assert.deepEqual([(await getSession(store, old.id)).state, (await getSession(store, fresh.id)).state], ['terminated', 'idle']);
    await assert.rejects(accept(store, old.id, [message()]), { code: 'session_archived' });
    assert.equal(await condemn(old), true, 'broken off, it is found again');
  }),

  'a condemned session is stripped little by little, and no other': law(async (store) => {
    const { session } = await endedSession(store, T0);
    const { session: other } = await endedSession(store, T0);
    assert.equal(await store.retention.strip({ ...of(other), limit: 100 }), 0);
    await store.retention.condemn({ ...of(session), idleBefore: T0 + 1, now: T0 });
    let total = 0;
    for (let rows = 2; rows === 2; total += rows) {
      rows = await store.retention.strip({ ...of(session), limit: 2 });
      assert.ok(rows <= 2);
    }
    // Its turn and: message, running, ended, idle.
    assert.equal(total, 5);
    assert.equal((await readLog(store, session.id)).length, 0);
    assert.equal((await readLog(store, other.id)).length, 4);
  }),

  'a log is cut from its beginning, with the turns whose messages are gone': law(async (store) => {
    const { session, turnId } = await endedSession(store, T0);
    const later = await endTurn(store, session.id, T0 + DAY_MS);
    const cut = () => store.retention.cut({ ...of(session), before: T0 + 1, limit: 3 });
    assert.equal(await store.events.firstSeq(of(session)), 1);
    assert.equal(await cut(), 3);
    assert.equal(await cut(), 2, 'the last event and the turn');
    assert.equal(await cut(), 0);
    assert.equal(await store.events.firstSeq(of(session)), 5);
    assert.deepEqual(
      (await readLog(store, session.id)).map(({ seq }) => seq),
      [5, 6, 7, 8],
    );
    assert.equal(await store.turns.find({ tenantId: TENANT, id: turnId }), undefined);
    assert.equal((await getTurn(store, later)).state, 'completed');
    await endTurn(store, session.id, T0 + DAY_MS);
    assert.equal((await getSession(store, session.id)).lastSeq, 12, 'numbers go on as before');
  }),

  'a log is not cut behind the message of an open turn, however old': law(async (store) => {
    const { session } = await endedSession(store, T0);
    const open = await queue(store, session.id, T0);
    await queue(store, session.id, T0);
    await store.retention.cut({ ...of(session), before: T0 + DAY_MS, limit: 100 });
    assert.equal(await store.events.firstSeq(of(session)), 5);
    assert.equal((await lease(store)).turn.id, open);
  }),

  'a log that is gone says so': law(async (store) => {
    const { session } = await endedSession(store, T0);
    await store.retention.cut({ ...of(session), before: T0 + 1, limit: 100 });
    assert.equal(await store.events.firstSeq(of(session)), undefined);
    assert.equal((await getSession(store, session.id)).lastSeq, 4);
  }),

  'keys are forgotten when their time is over': law(async (store) => {
    const request = { tenantId: TENANT, requestHash: 'h', resourceId: 'r', holder: 'one', leaseMs: 0 };
    await store.requests.begin({ ...request, key: 'kept', keepMs: DAY_MS });
    // A new key takes a few of the old ones along by itself.
    for (let index = 0; index < 3; index++) await store.requests.begin({ ...request, key: `k${index}`, keepMs: 0 });
    assert.ok((await store.retention.forgetKeys({ limit: 1 })) <= 1);
    await store.retention.forgetKeys({ limit: 100 });
    assert.equal(await store.retention.forgetKeys({ limit: 100 }), 0);
    assert.equal((await store.requests.begin({ ...request, key: 'kept', keepMs: DAY_MS, requestHash: 'h' })).type, 'begun');
  }),

  'pages are freed in small steps, or it is the business of the database': law(async (store) => {
    const { session } = await endedSession(store, T0);
    for (let index = 0; index < 50; index++) await accept(store, session.id, [message('x'.repeat(20_000))]);
    await store.turns.counts();
    await store.sessions.remove({
      tenantId: TENANT,
      id: session.id,
      event: { id: 'evt_x', type: 'session.deleted', payload: {}, processedAt: T0 },
      now: T0,
    });
    const freed = await store.retention.freePages({ limit: 10 });
    assert.ok(freed === 0 || freed === 10, String(freed));
  }),
};
