import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Params, Sql } from '../sql/query.ts';
import { createStatements } from './statements.ts';

describe('statements for PostgreSQL', () => {
  const prepare = (sql: Sql, params: Params, statements = createStatements()) => statements.prepare({ sql, params, reads: 'rows' });

  test('names become places, and one name is one place', () => {
    const { text, values } = prepare('SELECT :a, :b, :a', { a: 'x', b: 2 });
    assert.equal(text, 'SELECT $1::text, $2::bigint, $1::text');
    assert.deepEqual(values, ['x', 2]);
  });

  test('what is quoted stays, and so do casts', () => {
    const { text, values } = prepare(`SELECT ':a', 'it''s :a', ":a", now()::bigint, x::text FROM t WHERE y = :a`, { a: null });
    assert.equal(text, `SELECT ':a', 'it''s :a', ":a", now()::bigint, x::text FROM t WHERE y = $1`);
    assert.deepEqual(values, [null]);
  });

  test('a parameter has the type of its values, also when it is null later', () => {
    const statements = createStatements();
    const sql = 'UPDATE t SET a = :a';
    const first = prepare(sql, { a: null }, statements);
    assert.equal(first.text, 'UPDATE t SET a = $1');
    assert.equal(prepare(sql, { a: 1 }, statements).text, 'UPDATE t SET a = $1::bigint');
    assert.equal(prepare(sql, { a: null }, statements).text, 'UPDATE t SET a = $1::bigint');
    assert.equal(prepare(sql, { a: 0.25 }, statements).text, 'UPDATE t SET a = $1::double precision');
    assert.equal(prepare(sql, { a: 1 }, statements).text, 'UPDATE t SET a = $1::double precision');
  });

  test('one text has one name, and another after the tables have changed', () => {
    const statements = createStatements();
    const one = prepare('SELECT :a', { a: 1 }, statements);
    assert.equal(prepare('SELECT :a', { a: 2 }, statements).name, one.name);
    assert.notEqual(prepare('SELECT :a', { a: 'x' }, statements).name, one.name);
    statements.forget();
    assert.notEqual(prepare('SELECT :a', { a: 2 }, statements).name, one.name);
  });

  test('a parameter that is not given is our bug', () => {
    assert.throws(() => prepare('SELECT :a', {}), /invariant|bug|own|wrong/i);
  });

  test('the dialect is filled in', () => {
    const { text } = prepare(({ listOf, forUpdate }) => `SELECT 1 FROM t WHERE a IN ${listOf('ids')} ${forUpdate('t')}`, { ids: '[]' });
    assert.match(text ?? '', /CAST\(\$1::text AS jsonb\).*FOR NO KEY UPDATE OF t$/);
  });
});
