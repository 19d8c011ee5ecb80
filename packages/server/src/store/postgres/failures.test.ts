import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';
import { DatabaseError } from 'pg';
import pino from 'pino';
import { freePort } from '../../../../../test/support/free-port.ts';
import { systemClock } from '../../base/clock.ts';
import { isPlatformError } from '../../base/errors.ts';
import { isConflict, isConnectionFailure, toStoreError } from './failures.ts';
import { openPostgresStore } from './postgres-store.ts';

function failure(code: string): DatabaseError {
  return Object.assign(new DatabaseError('it failed', 1, 'error'), { code });
}

const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });

describe('failures of PostgreSQL', () => {
  for (const [code, expected] of [
    ['53100', 'disk_full'],
    ['22021', 'request_invalid'],
    ['57P01', 'store_unavailable'],
    ['57P03', 'store_unavailable'],
    ['08006', 'store_unavailable'],
    ['53300', 'store_unavailable'],
    ['57014', 'store_unavailable'],
    ['55P03', 'store_unavailable'],
    ['40P01', 'store_unavailable'],
    ['28P01', 'store_unavailable'],
  ] as const) {
    test(`${code} is ${expected}`, () => assert.ok(isPlatformError(toStoreError(failure(code)), expected)));
  }

  test('what is our own bug stays as it is', () => {
    for (const code of ['23505', '42P01', '22003']) {
      const error = failure(code);
      assert.equal(toStoreError(error), error);
    }
    const bug = new TypeError('x is not a function');
    assert.equal(toStoreError(bug), bug);
    assert.equal(isConnectionFailure(bug), false);
  });

  test('the network is told from the database, and a conflict from both', () => {
    for (const error of [refused, new AggregateError([refused]), new Error('Connection terminated unexpectedly'), failure('57P01')])
      assert.ok(isConnectionFailure(error), error.message);
    for (const code of ['40001', '40P01']) assert.ok(isConflict(failure(code)) && !isConnectionFailure(failure(code)));
    assert.equal(isConnectionFailure(failure('53100')), false);
  });

  test('the password is in no error and in no line of the log', async () => {
    const lines: string[] = [];
    const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
    const password = 'hunter2-very-secret';
    const urls = [
      `postgres://me:${password}@127.0.0.1:${await freePort()}/db`,
      `postgres://me:${password}@127.0.0.1:99999999/db`,
      `https://me:${password}@127.0.0.1/db`,
      `me:${password}`,
    ];
    for (const url of urls) {
      const opening = openPostgresStore({ url, clock: systemClock, log, nodeId: 'nod_one', startPatienceMs: 0 });
      await assert.rejects(opening, (error) => {
        assert.ok(isPlatformError(error));
        log.error({ err: error }, 'it failed');
        assert.equal(inspect(error, { depth: 20, showHidden: true }).includes(password), false);
        return true;
      });
    }
    assert.ok(lines.length >= urls.length);
    assert.equal(lines.join().includes(password), false);
  });
});
