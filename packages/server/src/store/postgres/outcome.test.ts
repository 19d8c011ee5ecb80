import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { PoolClient } from 'pg';
import { type PostgresStores, skipWithoutOwnPostgres, startPostgresStores } from '../../../test/support/postgres-stores.ts';
import { systemClock } from '../../base/clock.ts';
import { silentLogger as log } from '../../base/log.ts';
import { createSession, queue, readLog, refuses } from '../conformance/kit.ts';
import type { StoredEvent } from '../store.ts';
import { bootOf } from './boots.ts';
import { findOutcome } from './outcome.ts';
import { type ConnectionPool, createPool } from './pool.ts';

const clock = systemClock;

describe('the outcome of a commit that nobody answered for', { skip: skipWithoutOwnPostgres, timeout: 60_000 }, () => {
  let stores: PostgresStores;
  let url: string;
  let event: StoredEvent;
  let pool: ConnectionPool;
  before(async () => {
    stores = await startPostgresStores({ own: true });
    url = await stores.createDatabase();
    const store = await stores.open(url);
    const { id } = await createSession(store);
    await queue(store, id);
    const [first] = await readLog(store, id);
    assert.ok(first !== undefined);
    event = first;
    await store.close();
    pool = createPool({ url, poolSize: 2, clock, log });
  });
  after(async () => {
    await pool.close();
    await stores.close();
  });

  async function withClient<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await pool.acquire();
    try {
      return await work(client);
    } finally {
      client.release();
    }
  }
  const boot = () => withClient(bootOf);
  const outcome = (lost: { transactionId: string; boot: Promise<string | undefined>; event: StoredEvent | undefined }) =>
    findOutcome({ withClient, clock, log }, { pid: undefined, ...lost }, new Error('Connection terminated'));

  async function transaction(end: 'COMMIT' | 'ROLLBACK'): Promise<string> {
    return withClient(async (client) => {
      await client.query('BEGIN');
      const { rows } = await client.query<{ id: string }>('SELECT pg_current_xact_id()::text AS id');
      await client.query(end);
      return rows[0]?.id ?? '';
    });
  }

  test('is told by its number', async () => {
    assert.ok((await boot()) !== undefined);
    const lost = { boot: boot(), event: undefined };
    assert.equal(await outcome({ ...lost, transactionId: await transaction('COMMIT') }), 'committed');
    assert.equal(await outcome({ ...lost, transactionId: await transaction('ROLLBACK') }), 'aborted');
  });

  test('that has a number which the database did not keep is that it was aborted', async () => {
    const transactionId = String(Number(await transaction('COMMIT')) + 1_000_000);
    assert.equal(await outcome({ boot: boot(), event, transactionId }), 'aborted');
  });

  test('is told by what it has written when the database has crashed, and may have given its number again', async () => {
    const lost = { boot: Promise.resolve('an earlier one'), transactionId: await transaction('COMMIT') };
    assert.equal(await outcome({ ...lost, event }), 'committed');
    assert.equal(await outcome({ ...lost, event: { ...event, id: 'evt_that_was_lost' } }), 'aborted');
    await refuses(outcome({ ...lost, event: undefined }), 'store_unavailable');
  });

  test('a crash is told from an orderly stop', async () => {
    const first = await boot();
    await stores.postgres.stop('fast');
    await stores.postgres.start();
    assert.equal(await bootAgain(), first);
    await stores.postgres.kill();
    await stores.postgres.start();
    const second = await bootAgain();
    assert.ok(second !== undefined && second !== first);
  });

  /** Of a new connection: those of before the stop are gone. */
  async function bootAgain(): Promise<string | undefined> {
    await pool.close();
    pool = createPool({ url, poolSize: 2, clock, log });
    return boot();
  }
});
