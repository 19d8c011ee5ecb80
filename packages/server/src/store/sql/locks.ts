import type { SessionKey } from '../store.ts';
import { type Query, run, type Sql } from './query.ts';

// Every write of a session holds the session's row first. It is the only row that is waited for while another
// is held, so no two operations wait for each other. Where one writer works alone nothing is asked.

const LOCK_SESSION: Sql = ({ forUpdate }) =>
  forUpdate() && `SELECT 1 FROM sessions WHERE tenant_id = :tenantId AND id = :sessionId ${forUpdate()}`;
const LOCK_SESSION_OF_TURN: Sql = ({ forUpdate }) =>
  forUpdate() &&
  `SELECT 1 FROM sessions WHERE (tenant_id, id) = (SELECT tenant_id, session_id FROM turns WHERE id = :turnId) ${forUpdate()}`;

const LOCK_AGENT: Sql = ({ forUpdate }) => forUpdate() && `SELECT 1 FROM agents WHERE tenant_id = :tenantId AND id = :id ${forUpdate()}`;

export function* lockSession({ tenantId, sessionId }: SessionKey): Query<void> {
  yield* run(LOCK_SESSION, { tenantId, sessionId });
}

/** For those who know the turn only. */
export function* lockSessionOfTurn(turnId: string): Query<void> {
  yield* run(LOCK_SESSION_OF_TURN, { turnId });
}

/** So that two new versions do not get the same number. */
export function* lockAgent({ tenantId, id }: { readonly tenantId: string; readonly id: string }): Query<void> {
  yield* run(LOCK_AGENT, { tenantId, id });
}
