import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Client } from 'pg';
import { type PostgresStores, skipWithoutPostgres, startPostgresStores } from '../../../test/support/postgres-stores.ts';
import { isPlatformError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import {
  accept,
  append,
  createSession,
  finish,
  getSession,
  interrupt,
  message,
  newEvent,
  queue,
  readLog,
  refuses,
  T0,
  TENANT,
  tryLease,
} from '../conformance/kit.ts';
import type { LeasedTurn, Store } from '../store.ts';

async function ask(url: string, sql: string): Promise<unknown> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query({ text: sql, rowMode: 'array' })).rows[0]?.[0];
  } finally {
    await client.end();
  }
}

describe('several connections and servers on one PostgreSQL', { skip: skipWithoutPostgres, timeout: 120_000 }, () => {
  let stores: PostgresStores;
  before(async () => {
    stores = await startPostgresStores();
  });
  after(() => stores.close());

  async function two(): Promise<{ url: string; one: Store; other: Store }> {
    const url = await stores.createDatabase();
    return { url, one: await stores.open(url, { poolSize: 8 }), other: await stores.open(url, { poolSize: 8 }) };
  }

  test('those who lease at once get different turns', async () => {
    const { one, other } = await two();
    const turnIds: string[] = [];
    for (let index = 0; index < 16; index++) turnIds.push(await queue(one, (await createSession(one)).id));
    const leased = await Promise.all(
      Array.from({ length: 16 }, (_, index) => tryLease(index % 2 === 0 ? one : other, { nodeId: `nod_${index % 2}` })),
    );
    const ids = leased.flatMap((turn) => turn?.turn.id ?? []);
    assert.equal(new Set(ids).size, ids.length, 'no turn twice');
    // Who is passed by comes again.
    while (ids.length < 16) ids.push((await tryLease(one))?.turn.id ?? assert.fail('all are there'));
    assert.deepEqual(ids.toSorted(), turnIds.toSorted());
  });

  test('those who lease at once stay below the caps together', async () => {
    const { one, other } = await two();
    const caps = { perTenant: 3 };
    for (let index = 0; index < 24; index++) await queue(one, (await createSession(one)).id);
    const attempts = Array.from({ length: 24 }, (_, index) =>
      tryLease(index % 2 === 0 ? one : other, { nodeId: `nod_${index % 2}`, caps }),
    );
    const leased = (await Promise.all(attempts)).filter((turn) => turn !== undefined);
    assert.ok(leased.length > 0 && leased.length <= 3, `${leased.length} run`);
  });

  test('what is accepted at once in one session is counted without a gap', async () => {
    const { one, other } = await two();
    const { id } = await createSession(one);
    const turnIds = await Promise.all(Array.from({ length: 60 }, (_, index) => queue(index % 2 === 0 ? one : other, id)));
    const log = await readLog(other, id);
    assert.deepEqual(
      log.map(({ seq }) => seq),
      log.map((_, index) => index + 1),
    );
    assert.deepEqual(new Set(log.map(({ turnId }) => turnId)), new Set(turnIds));
    assert.equal((await getSession(one, id)).lastSeq, 60);
    assert.deepEqual(await one.events.heads({ sessionIds: [id, 'ses_none'] }), new Map([[id, 60]]));
  });

  test('one key at two servers is one message, and of two sessions only one has it', async () => {
    const { one, other } = await two();
    const sessions = [await createSession(one), await createSession(one)];
    const send = (store: Store, sessionId: string, key: string) =>
      store.turns.accept({
        tenantId: TENANT,
        sessionId,
        events: [message()],
        idempotency: { key, requestHash: 'h', keepMs: 1_000_000 },
        maxQueuedPerSession: 100,
        now: T0,
      });
    const [first, second] = sessions;
    assert.ok(first !== undefined && second !== undefined);
    const same = await Promise.all(Array.from({ length: 12 }, (_, index) => send(index % 2 === 0 ? one : other, first.id, 'a')));
    assert.equal(new Set(same.map(({ turnIds }) => turnIds[0])).size, 1);
    assert.equal(same.filter(({ isReplay }) => !isReplay).length, 1);
    const both = await Promise.allSettled(sessions.map(({ id }, index) => send(index === 0 ? one : other, id, 'b')));
    const refused = both.filter((result) => result.status === 'rejected');
    assert.equal(refused.length, 1);
    assert.ok(isPlatformError(refused[0]?.reason, 'idempotency_mismatch'));
  });

  test('two new versions of an agent at once have two numbers', async () => {
    const { one, other } = await two();
    const agent = { tenantId: TENANT, id: newId('agent') };
    await one.agents.create({ ...agent, definition: { name: 'Ada' }, now: T0 });
    const add = (store: Store) => store.agents.addVersion({ ...agent, definition: { name: 'Ada' }, now: T0 });
    const versions = await Promise.all([add(one), add(other), add(one), add(other)]);
    assert.deepEqual(new Set(versions.map(({ version }) => version)), new Set([2, 3, 4, 5]));
  });

  test('a mixed load of both servers meets no deadlock, and every log is whole', async () => {
    const { url, one, other } = await two();
    const sessions = await Promise.all(Array.from({ length: 6 }, () => createSession(one)));
    const held: LeasedTurn[] = [];
    const tooLate = ['lease_lost', 'turn_ended', 'capacity_exhausted'] as const;
    const tolerate = (error: unknown) => {
      if (!tooLate.some((code) => isPlatformError(error, code))) throw error;
    };
    const work = async (store: Store, seed: number): Promise<void> => {
      for (let step = 0; step < 60; step++) {
        const which = (seed * 7 + step * 5) % 10;
        const session = sessions[(seed + step) % sessions.length] ?? assert.fail('a session');
        if (which < 4) await accept(store, session.id, [message(), message()]).catch(tolerate);
        else if (which < 5) await accept(store, session.id, [interrupt()]).catch(tolerate);
        else if (which < 7) {
          const leased = await tryLease(store, { nodeId: `nod_${seed}` });
          if (leased !== undefined) held.push(leased);
        } else {
          const leased = held[step % Math.max(1, held.length)];
          if (leased === undefined) continue;
          if (which < 9) await append(store, leased, { events: [newEvent('agent.message')] }).catch(tolerate);
          else await finish(store, leased).catch(tolerate);
        }
      }
    };
    await Promise.all(Array.from({ length: 8 }, (_, seed) => work(seed % 2 === 0 ? one : other, seed)));
    for (const { id } of sessions) {
      const log = await readLog(one, id);
      assert.ok(log.length > 20);
      assert.deepEqual(
        log.map(({ seq }) => seq),
        log.map((_, index) => index + 1),
      );
    }
    await one.close();
    await other.close();
    assert.equal(Number(await ask(url, 'SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()')), 0);
  });

  test('a statement that was prepared before the tables changed still works', async () => {
    const { url, one } = await two();
    const { id } = await createSession(one);
    const turnId = await queue(one, id);
    for (let round = 0; round < 10; round++) await one.turns.find({ tenantId: TENANT, id: turnId });
    await ask(url, "ALTER TABLE turns ADD COLUMN of_a_later_version TEXT NOT NULL DEFAULT ''");
    const found = await Promise.all(Array.from({ length: 10 }, () => one.turns.find({ tenantId: TENANT, id: turnId })));
    assert.ok(found.every((turn) => turn?.id === turnId));
    assert.equal((await tryLease(one))?.turn.id, turnId);
  });

  test('a text with NUL in it is the fault of who sends it', async () => {
    const { one } = await two();
    const create = (title: string) =>
      one.sessions.create({
        id: newId('session'),
        tenantId: TENANT,
        agentId: 'agt_one',
        agentVersion: 1,
        agent: {},
        environmentId: 'env_one',
        environment: {},
        title,
        metadata: {},
        now: T0,
      });
    await refuses(create('a\u0000b'), 'request_invalid');
    await refuses(one.sessions.find({ tenantId: TENANT, id: 'ses_\u0000' }), 'request_invalid');
    assert.equal((await create('ab')).title, 'ab');
  });
});
