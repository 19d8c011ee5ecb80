import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { isPlatformError, PlatformError } from '../../base/errors.ts';
import type { StoredEvent } from '../store.ts';
import { type Connection, openWriter } from './connection.ts';
import { createWriter, type Transaction, type Writer } from './writer.ts';

const INSERT = 'INSERT INTO t (a) VALUES (:a)';

function storedEvent(seq: number): StoredEvent {
  return { id: `evt_${seq}`, tenantId: 't', sessionId: 's', seq, turnId: null, type: 'x', payload: {}, createdAt: 0, processedAt: 0 };
}

/** Counts what the writer does to its connection, and can break its commits. */
function observed(db: Connection): Connection & { commits: number; failCommit: Error | undefined } {
  return {
    ...db,
    commits: 0,
    failCommit: undefined,
    run(sql, params) {
      if (sql === 'COMMIT') {
        if (this.failCommit !== undefined) throw this.failCommit;
        this.commits++;
      }
      return db.run(sql, params);
    },
  };
}

describe('group commit', () => {
  let db: ReturnType<typeof observed>;
  let writer: Writer;
  const insert =
    (a: number) =>
    (tx: Transaction): number => {
      tx.db.run(INSERT, { a });
      tx.publish([storedEvent(a)]);
      return a;
    };
  const seqs = (events: readonly StoredEvent[]) => events.map((event) => event.seq).join();
  const rows = () => db.all('SELECT a FROM t ORDER BY a').map((row) => row.a);

  beforeEach(() => {
    db = observed(openWriter(':memory:'));
    db.exec('CREATE TABLE t (a INTEGER PRIMARY KEY)');
    writer = createWriter(db);
  });

  test('what comes together is committed together', async () => {
    assert.deepEqual(await Promise.all([1, 2, 3].map((a) => writer.write(insert(a)))), [1, 2, 3]);
    assert.equal(db.commits, 1);
    await writer.write(insert(4));
    assert.equal(db.commits, 2);
    assert.deepEqual(rows(), [1, 2, 3, 4]);
  });

  test('a batch is bounded', async () => {
    await Promise.all(Array.from({ length: 300 }, (_, a) => writer.write(insert(a))));
    assert.equal(db.commits, 3);
    assert.equal(rows().length, 300);
  });

  test('an operation that fails takes back its own and nothing else', async () => {
    const heard: number[] = [];
    writer.onCommit((events) => heard.push(...events.map((event) => event.seq)));
    const results = await Promise.allSettled([
      writer.write(insert(1)),
      writer.write((tx) => {
        insert(2)(tx);
        throw new PlatformError('session_busy');
      }),
      writer.write((tx) => {
        insert(3)(tx);
        insert(1)(tx);
      }),
      writer.write(insert(4)),
    ]);
    assert.deepEqual(
      results.map((result) => result.status),
      ['fulfilled', 'rejected', 'rejected', 'fulfilled'],
    );
    assert.ok(results[1]?.status === 'rejected' && isPlatformError(results[1].reason, 'session_busy'));
    assert.deepEqual(rows(), [1, 4]);
    assert.deepEqual(heard, [1, 4]);
    assert.equal(db.commits, 1);
  });

  test('a commit that fails fails all of its batch, and the next one works', async () => {
    const heard: number[] = [];
    writer.onCommit((events) => heard.push(...events.map((event) => event.seq)));
    for (const [errcode, code] of [[13, 'disk_full'] as const, [778, 'store_unavailable'] as const]) {
      db.failCommit = Object.assign(new Error('broken'), { errcode });
      const refused = writer.write(() => {
        throw new PlatformError('session_busy');
      });
      const results = await Promise.allSettled([writer.write(insert(1)), refused, writer.write(insert(2))]);
      for (const result of results) assert.ok(result.status === 'rejected' && isPlatformError(result.reason, code));
      assert.deepEqual(rows(), []);
    }
    db.failCommit = undefined;
    await writer.write(insert(1));
    assert.deepEqual(rows(), [1]);
    assert.deepEqual(heard, [1]);
  });

  test('listeners hear before the callers, in order, and one that stopped hears nothing', async () => {
    const told: string[] = [];
    const stop = writer.onCommit((events) => told.push(`first ${seqs(events)}`));
    writer.onCommit((events) => told.push(`second ${seqs(events)}`));
    await Promise.all([1, 2].map((a) => writer.write(insert(a)).then(() => told.push(`caller ${a}`))));
    stop();
    await writer.write(insert(3));
    assert.deepEqual(told, ['first 1,2', 'second 1,2', 'caller 1', 'caller 2', 'second 3']);
  });

  test('a commit is synced to the disk', () => {
    assert.equal(db.get('PRAGMA synchronous')?.synchronous, 2);
    assert.equal(db.get('PRAGMA foreign_keys')?.foreign_keys, 1);
  });
});
