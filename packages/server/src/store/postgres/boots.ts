import type { ClientBase } from 'pg';

/**
 * Tells whether the database has crashed since a connection was made. What became of a transaction can be asked by
 * its number only while it has not: numbers that were given and never reached the disk are given again after a
 * recovery. PostgreSQL empties unlogged tables in a recovery, and keeps them over an orderly stop:
 * https://www.postgresql.org/docs/current/sql-createtable.html#SQL-CREATETABLE-UNLOGGED
 */
export const BOOTS_TABLE = 'boots';
export const CREATE_BOOTS = `CREATE UNLOGGED TABLE IF NOT EXISTS ${BOOTS_TABLE} (one BIGINT PRIMARY KEY, id TEXT NOT NULL)`;

const MARK = `INSERT INTO ${BOOTS_TABLE} (one, id) VALUES (1, gen_random_uuid()::text) ON CONFLICT (one) DO NOTHING`;
const READ = `SELECT id FROM ${BOOTS_TABLE}`;

const known = new WeakMap<ClientBase, Promise<string | undefined>>();

/** Asks with the connection's first statements, without waiting. */
export function noteBoot(client: ClientBase): void {
  const marked = client.query(MARK).catch(() => undefined);
  const read = client.query<{ id: string }>(READ).then(
    ({ rows }) => rows[0]?.id,
    () => undefined,
  );
  known.set(
    client,
    marked.then(() => read),
  );
}

/** By which name the database ran when the connection was made; undefined when that is not known. */
export function bootOf(client: ClientBase): Promise<string | undefined> {
  return known.get(client) ?? Promise.resolve(undefined);
}
