import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import { type PostgresStores, skipWithoutPostgres, startPostgresStores } from '../../../test/support/postgres-stores.ts';
import { createSession } from '../conformance/kit.ts';
import { get, type Query, run } from '../sql/query.ts';
import { integer } from '../sql/rows.ts';
import type { Store } from '../store.ts';
import { createScopes, TENANT_ROLE } from './row-security.ts';
import { createStatements } from './statements.ts';
import { runStatements } from './transaction.ts';

describe('row-level security', { skip: skipWithoutPostgres, timeout: 60_000 }, () => {
  let stores: PostgresStores;
  let store: Store;
  let client: Client;
  const scopes = createScopes();
  const statements = createStatements();
  const ask = <T>(query: () => Query<T>) => runStatements(client, statements, query(), scopes);

  before(async () => {
    stores = await startPostgresStores();
    const url = await stores.createDatabase();
    store = await stores.open(url);
    for (const tenantId of ['a', 'a', 'b']) await createSession(store, { tenantId });
    client = new Client({ connectionString: url });
    await client.connect();
  });
  after(async () => {
    await client?.end();
    await stores?.close();
  });

  /** Its conditions forget the tenant; only the parameter says whom it is about. */
  function* countAll(tenantId?: string): Query<number> {
    const row = yield* get('SELECT count(*) AS number FROM sessions', tenantId === undefined ? {} : { tenantId });
    return Number(row?.number);
  }

  it('shows a statement of one tenant the rows of that one, although it forgets to say so', async () => {
    assert.deepEqual(
      [await ask(() => countAll('a')), await ask(() => countAll('b')), await ask(() => countAll('c')), await ask(() => countAll())],
      [2, 1, 0, 3],
    );
    const changed = await ask(() => run("UPDATE sessions SET title = 'mine'", { tenantId: 'b' }));
    assert.equal(changed, 1);
    assert.equal(await ask(() => run('DELETE FROM session_definitions', { tenantId: 'c' })), 0);
  });

  it('lets a statement of one tenant write nothing into another', async () => {
    const steal = ask(() => run("UPDATE sessions SET tenant_id = 'b'", { tenantId: 'a' }));
    await assert.rejects(steal, /row-level security/);
    assert.equal(await ask(() => countAll('a')), 2, 'and goes on as before');
  });

  it('shows nothing to the role without a tenant', async () => {
    await client.query(`BEGIN; SET LOCAL ROLE ${TENANT_ROLE}; SET LOCAL cloister.tenant = ''`);
    const { rows } = await client.query('SELECT count(*)::int AS number FROM events');
    await client.query('ROLLBACK');
    assert.equal(integer(rows[0], 'number'), 0);
    const { rows: roles } = await client.query(`SELECT rolsuper, rolbypassrls, rolcanlogin FROM pg_roles WHERE rolname = '${TENANT_ROLE}'`);
    assert.deepEqual(roles, [{ rolsuper: false, rolbypassrls: false, rolcanlogin: false }]);
  });

  it('is on every table that has a tenant', async () => {
    const { rows } =
      await client.query(`SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
      WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
        AND (NOT c.relrowsecurity OR NOT EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid))`);
    assert.deepEqual(rows, []);
    const { rows: guarded } = await client.query('SELECT count(DISTINCT polrelid)::int AS number FROM pg_policy');
    assert.ok(integer(guarded[0], 'number') >= 20);
  });

  it('holds in the store, across a statement that failed', async () => {
    const session = await createSession(store, { tenantId: 'a' });
    await assert.rejects(
      createSession(store, { tenantId: 'b' }).then(() => store.sessions.archive({ tenantId: 'b', id: session.id, now: 1 })),
    );
    assert.equal(await store.sessions.find({ tenantId: 'b', id: session.id }), undefined);
    assert.equal((await store.sessions.find({ tenantId: 'a', id: session.id }))?.id, session.id);
  });

  it('is off, and said to be, for a user who may not make roles, and on once somebody else has granted it', async () => {
    const url = new URL(await stores.postgres.createDatabase());
    const admin = new Client({ connectionString: url.href });
    await admin.connect();
    await admin.query(
      `CREATE ROLE plain LOGIN PASSWORD 'plain'; ALTER DATABASE ${url.pathname.slice(1)} OWNER TO plain; ALTER SCHEMA public OWNER TO plain`,
    );
    [url.username, url.password] = ['plain', 'plain'];
    const guarded = async () => {
      const own = await stores.open(url.href);
      const { id } = await createSession(own, { tenantId: 'a' });
      assert.equal((await own.sessions.find({ tenantId: 'a', id }))?.id, id);
      await own.close();
      return (await admin.query('SELECT 1 FROM pg_policy LIMIT 1')).rows.length > 0;
    };
    assert.equal(await guarded(), false);
    await admin.query(`GRANT ${TENANT_ROLE} TO plain`);
    assert.equal(await guarded(), true);
    await admin.end();
  });
});
