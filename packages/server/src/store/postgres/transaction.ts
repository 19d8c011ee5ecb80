import type { PoolClient } from 'pg';
import { invariant } from '../../base/errors.ts';
import type { Answer, Query, Row, Statement } from '../sql/query.ts';
import type { Statements } from './statements.ts';

/** How a commit ended that nobody answered for: by what the server knows of the transaction. */
export interface Trace {
  /** The server process that had the connection. */
  readonly pid: number | undefined;
  /** Undefined as long as nothing was written. */
  transactionId: string | undefined;
  /** From here on only the server knows whether it is committed. */
  isCommitSent: boolean;
}

/** Statements one by one, each whole by itself: for reads. */
export async function runStatements<T>(client: PoolClient, statements: Statements, query: Query<T>): Promise<T> {
  let step = query.next();
  while (step.done !== true) step = query.next(await ask(client, statements, step.value));
  return step.value;
}

/**
 * The operation in one transaction, committed when it resolves and rolled back when it rejects. What is told
 * to `trace` lets the outcome be found out when the connection breaks during the commit.
 */
export async function runTransaction<T>(client: PoolClient, statements: Statements, query: Query<T>, trace: Trace): Promise<T> {
  let step = query.next();
  if (step.done === true) return step.value;
  // On its way together with the first statement; when it fails, that fails too.
  const begun = settled(client.query('BEGIN'));
  try {
    while (step.done !== true) {
      const asked = ask(client, statements, step.value);
      // Goes along with the statement and costs no way of its own. Nothing is written yet while it is null.
      const named = trace.transactionId === undefined ? settled(client.query<{ id: string | null }>(TRANSACTION_ID)) : undefined;
      const answer = await asked;
      const id = await named;
      if (id !== undefined) trace.transactionId = id.rows[0]?.id ?? undefined;
      step = query.next(answer);
    }
    invariant((await begun) !== undefined, 'a transaction has begun');
    trace.isCommitSent = true;
    const { command } = await client.query('COMMIT');
    invariant(command === 'COMMIT', 'a transaction in which all went well is committed');
    return step.value;
  } catch (error) {
    if (!trace.isCommitSent) await rollBack(client);
    throw error;
  }
}

const TRANSACTION_ID = { name: 'transaction_id', text: 'SELECT pg_current_xact_id_if_assigned()::text AS id' };

/** A promise whose failure shows in the query beside it. */
function settled<T>(promise: Promise<T>): Promise<T | undefined> {
  return promise.catch(() => undefined);
}

async function ask(client: PoolClient, statements: Statements, statement: Statement): Promise<Answer> {
  const prepared = statements.prepare(statement);
  if (prepared.text === '') return { rows: [], changes: 0 };
  const { rows, rowCount } = await client.query<Row>(prepared);
  return { rows, changes: rowCount ?? 0 };
}

/** A connection that cannot roll back is broken: the one who releases it finds that out by the error of the operation. */
async function rollBack(client: PoolClient): Promise<void> {
  await settled(client.query('ROLLBACK'));
}
