import { type Client, DatabaseError, type PoolClient } from 'pg';
import type { Statement } from '../sql/query.ts';
import { text } from '../sql/rows.ts';

/**
 * The second wall between tenants. In every operation that begins by naming a tenant, which are those that requests ask for,
 * a statement about a tenant runs as a role that PostgreSQL shows the rows of that tenant only, whatever its conditions say
 * or forget. What begins with all tenants (the queue, a run by its token, sweeps, sign-ins) runs as the owner of the tables,
 * whom the policies leave alone: it is hot, and no request chooses what it reads.
 */
export const TENANT_ROLE = 'cloister_tenant';
const POLICY = 'cloister_own_rows';
const OWN = "tenant_id = current_setting('cloister.tenant', true)";

/** Tables with a tenant that have no policy yet: those of new migrations, whoever wrote them. */
const UNGUARDED = `SELECT c.relname AS name FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
  WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
    AND NOT EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = '${POLICY}') ORDER BY 1`;
const UNGRANTED = `SELECT c.relname AS name FROM pg_class c
  WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND c.relname <> 'schema_migrations'
    AND NOT has_table_privilege('${TENANT_ROLE}', c.oid, 'SELECT, INSERT, UPDATE, DELETE') ORDER BY 1`;
const HAS_ROLE = `SELECT 1 FROM pg_roles WHERE rolname = '${TENANT_ROLE}'`;
const MAY_BECOME = `SELECT pg_has_role(current_user, '${TENANT_ROLE}', 'MEMBER') AS may`;

const DUPLICATE = '42710';
const UNIQUE = '23505';
const NOT_ALLOWED = '42501';

/** Brings role, rights and policies up to the tables there are; under the schema lock. False where the user may not make the role. */
export async function ensureRowSecurity(client: Client): Promise<boolean> {
  if (!(await ensureRole(client))) return false;
  await client.query(`DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO ${TENANT_ROLE}', current_schema()); END $$`);
  for (const table of await names(client, UNGRANTED))
    await client.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO ${TENANT_ROLE}`);
  for (const table of await names(client, UNGUARDED)) {
    await client.query(
      `CREATE POLICY ${POLICY} ON ${table} TO ${TENANT_ROLE} USING (${OWN}) WITH CHECK (${OWN});
       ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY`,
    );
  }
  return true;
}

/** Roles are of the whole cluster: another installation on it may have made it, or be making it now. */
async function ensureRole(client: Client): Promise<boolean> {
  const known = async () => (await client.query(HAS_ROLE)).rows.length > 0;
  if (!(await known())) {
    const failure = await attempt(client, `CREATE ROLE ${TENANT_ROLE} NOLOGIN NOBYPASSRLS`, [DUPLICATE, UNIQUE, NOT_ALLOWED]);
    if (failure === NOT_ALLOWED) return false;
  }
  const may = async () => (await client.query<{ may: boolean }>(MAY_BECOME)).rows[0]?.may === true;
  if (!(await may())) await attempt(client, `GRANT ${TENANT_ROLE} TO CURRENT_USER`, [NOT_ALLOWED, UNIQUE]);
  return may();
}

/** The code of the failure, when it is one of those that are expected. */
async function attempt(client: Client, sql: string, expected: readonly string[]): Promise<string | undefined> {
  try {
    await client.query(sql);
    return undefined;
  } catch (error) {
    if (error instanceof DatabaseError && error.code !== undefined && expected.includes(error.code)) return error.code;
    throw error;
  }
}

async function names(client: Client, sql: string): Promise<readonly string[]> {
  return (await client.query(sql)).rows.map((row) => `"${text(row, 'name').replaceAll('"', '""')}"`);
}

/** Who a connection acts for. */
export interface Scopes {
  /** Goes ahead of a statement on its connection when that is about another tenant, or none, than the one before. */
  enter(client: Connection, tenantId: string | undefined): Promise<unknown> | undefined;
  /** What was set may have been taken back with a transaction. */
  forget(client: Connection): void;
}

type Connection = Pick<PoolClient, 'query'>;

const ENTER = {
  name: 'enter_tenant',
  text: "SELECT set_config('role', $1, false), set_config('cloister.tenant', $2, false)",
};
/** No tenant has it. */
const EVERYBODY = '';

export function createScopes(): Scopes {
  const current = new WeakMap<Connection, string>();
  return {
    enter(client, tenantId) {
      const wanted = tenantId === undefined ? EVERYBODY : `t${tenantId}`;
      if (current.get(client) === wanted) return undefined;
      current.set(client, wanted);
      const values = wanted === EVERYBODY ? ['none', ''] : [TENANT_ROLE, wanted.slice(1)];
      const entered = client.query({ ...ENTER, values });
      // Whoever waits for the statement waits for this too; on its own it must not count as unhandled.
      entered.catch(() => undefined);
      return entered;
    },
    forget(client) {
      current.delete(client);
    },
  };
}

/** For a database whose user may not make the role: the conditions of the statements are the only wall. */
export const NO_SCOPES: Scopes = { enter: () => undefined, forget: () => undefined };

/** The tenant that a statement is about. */
export function tenantOf({ params }: Statement): string | undefined {
  return typeof params.tenantId === 'string' ? params.tenantId : undefined;
}

export function forEverybody(scopes: Scopes): Scopes {
  return { ...scopes, enter: (client) => scopes.enter(client, undefined) };
}
