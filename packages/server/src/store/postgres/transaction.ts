import type { PoolClient } from 'pg';
import { invariant } from '../../base/errors.ts';
import type { Answer, Query, Row, Statement } from '../sql/query.ts';
import { bootOf } from './boots.ts';
import { forEverybody, NO_SCOPES, type Scopes, tenantOf } from './row-security.ts';
import type { Statements } from './statements.ts';

/** By what it can be found out how a commit ended that nobody answered for. */
export interface Trace<T> {
  /** The server process that has the connection. */
  pid: number | undefined;
  /** Of the database, when the connection was made. */
  boot: Promise<string | undefined> | undefined;
  /** Undefined as long as nothing is written. */
  transactionId: string | undefined;
  /** What the operation came to, as soon as its commit is on its way: from then on only the server knows. */
  committing: { readonly value: T } | undefined;
}

/** How statements are put, and for whom. */
export interface Ways {
  readonly statements: Statements;
  readonly scopes: Scopes;
}

const TRANSACTION_ID = { name: 'transaction_id', text: 'SELECT pg_current_xact_id_if_assigned()::text AS id' };

/** Statements one by one, each whole by itself: for reads. */
export async function runStatements<T>(
  client: Pick<PoolClient, 'query'>,
  statements: Statements,
  query: Query<T>,
  scopes: Scopes = NO_SCOPES,
): Promise<T> {
  try {
    let step = query.next();
    const ways = step.done === true ? { statements, scopes } : waysOf({ statements, scopes }, step.value);
    while (step.done !== true) step = query.next(await ask(client, ways, step.value));
    return step.value;
  } catch (error) {
    scopes.forget(client);
    throw error;
  }
}

/** The operation in one transaction, committed when it resolves. Rejects when it is not, or when that is not known. */
export async function runTransaction<T>(client: PoolClient, ways: Ways, query: Query<T>, trace: Trace<T>): Promise<T> {
  let step = query.next();
  if (step.done === true) return step.value;
  trace.pid = pidOf(client);
  trace.boot = bootOf(client);
  const own = waysOf(ways, step.value);
  // On its way together with the first statement; when it fails, that fails too.
  const begun = settled(client.query('BEGIN'));
  try {
    while (step.done !== true) {
      const asked = ask(client, own, step.value);
      // Goes along with the statement, and costs no way of its own.
      const named = trace.transactionId === undefined ? settled(client.query<{ id: string | null }>(TRANSACTION_ID)) : undefined;
      const answer = await asked;
      const id = await named;
      if (id !== undefined) trace.transactionId = id.rows[0]?.id ?? undefined;
      step = query.next(answer);
    }
    invariant((await begun) !== undefined, 'a transaction has begun');
  } catch (error) {
    ways.scopes.forget(client);
    // A connection that cannot even do that is broken, and by the error above it is not used again.
    await settled(client.query('ROLLBACK'));
    throw error;
  }
  trace.committing = { value: step.value };
  const { command } = await client.query('COMMIT');
  invariant(command === 'COMMIT', 'a transaction in which all went well is committed');
  return step.value;
}

/** An operation that begins with all tenants (the queue, a run by its token) is about all of them, and changes no roles on its way. */
function waysOf({ statements, scopes }: Ways, first: Statement): Ways {
  return { statements, scopes: tenantOf(first) === undefined ? forEverybody(scopes) : scopes };
}

/** A promise whose failure shows in the query beside it. */
function settled<T>(promise: Promise<T>): Promise<T | undefined> {
  return promise.catch(() => undefined);
}

async function ask(client: Pick<PoolClient, 'query'>, { statements, scopes }: Ways, statement: Statement): Promise<Answer> {
  const prepared = statements.prepare(statement);
  if (prepared.text === '') return { rows: [], changes: 0 };
  // On its way together with the statement, which counts for nothing if this has failed.
  const entered = scopes.enter(client, tenantOf(statement));
  const answered = client.query<Row>(prepared);
  if (entered !== undefined) {
    answered.catch(() => undefined);
    await entered;
  }
  const { rows, rowCount } = await answered;
  return { rows, changes: rowCount ?? 0 };
}

function pidOf(client: PoolClient): number | undefined {
  return 'processID' in client && typeof client.processID === 'number' ? client.processID : undefined;
}
