import {
  eventSendQuerySchema,
  eventSendResponseSchema,
  pageOf,
  sessionTurnListQuerySchema,
  turnListQuerySchema,
  turnSchema,
} from '@cloister/api';
import type { TurnAddress } from '../../sessions/turns.ts';
import { readIdempotencyKey } from '../idempotency.ts';
import { type RouteTable, route } from '../openapi.ts';
import { toBidirectionalPage } from './paging.ts';

const tag = 'Turns';
const ONE = '/v1/sessions/{id}/turns/{turn_id}';
const MISSING = ['session_not_found', 'turn_not_found'] as const;

export function turnRoutes(table: RouteTable): void {
  listRoutes(table);
  actionRoutes(table);
}

interface ListQuery {
  readonly limit: number;
  readonly page?: string | undefined;
  readonly order: 'asc' | 'desc';
}

const paging = ({ limit, page, order }: ListQuery): ListQuery => ({ limit, page, order });

function listRoutes(table: RouteTable): void {
  const { turns } = table.deps;
  route(
    table,
    {
      method: 'get',
      path: '/v1/turns',
      operationId: 'listTurns',
      summary: 'List turns of all sessions, the newest first; with `states[]=failed` the dead letters',
      tag,
      query: turnListQuerySchema,
      response: pageOf(turnSchema),
      problems: ['session_not_found', 'cursor_invalid'],
    },
    async ({ tenantId, query }) => {
      const states = query['states[]'] ?? query.states;
      return toBidirectionalPage(await turns.list(tenantId, { ...paging(query), sessionId: query.session_id, states }));
    },
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/sessions/{id}/turns',
      operationId: 'listSessionTurns',
      summary: 'List the turns of a session, the newest first',
      tag,
      query: sessionTurnListQuerySchema,
      response: pageOf(turnSchema),
      problems: ['session_not_found', 'cursor_invalid'],
    },
    async ({ tenantId, query, param }) => {
      const states = query['states[]'] ?? query.states;
      return toBidirectionalPage(await turns.list(tenantId, { ...paging(query), sessionId: param('id'), states }));
    },
  );
}

function actionRoutes(table: RouteTable): void {
  const { turns } = table.deps;
  const addressOf = (tenantId: string, param: (name: string) => string): TurnAddress => ({
    tenantId,
    sessionId: param('id'),
    turnId: param('turn_id'),
  });
  route(
    table,
    { method: 'get', path: ONE, operationId: 'getTurn', summary: 'Get a turn', tag, response: turnSchema, problems: MISSING },
    ({ tenantId, param }) => turns.get(addressOf(tenantId, param)),
  );
  route(
    table,
    {
      method: 'post',
      path: `${ONE}/cancel`,
      operationId: 'cancelTurn',
      summary: 'Cancel a turn: one that waits ends at once, one that runs is asked to stop',
      tag,
      response: turnSchema,
      problems: [...MISSING, 'turn_ended', 'session_archived', 'draining'],
    },
    ({ tenantId, param }) => turns.cancel(addressOf(tenantId, param)),
  );
  route(
    table,
    {
      method: 'post',
      path: `${ONE}/retry`,
      operationId: 'retryTurn',
      summary: 'Send the message of a turn that failed, was interrupted or cancelled again, as a new message',
      tag,
      headers: { 'Idempotency-Key': 'The same key within 24 h answers the first result and sends nothing again' },
      keepsOwnKeys: true,
      query: eventSendQuerySchema,
      response: eventSendResponseSchema,
      problems: [
        ...MISSING,
        'turn_not_retryable',
        'session_archived',
        'session_busy',
        'idempotency_mismatch',
        'capacity_exhausted',
        'overloaded',
        'draining',
      ],
    },
    async ({ c, tenantId, query, param }) => {
      const waitMs = query.wait === undefined ? undefined : query.wait * 1000;
      const retry = () =>
        turns.retry(addressOf(tenantId, param), { idempotencyKey: readIdempotencyKey(c), waitMs, abort: c.req.raw.signal });
      if (waitMs === undefined) return retry();
      // Most of its time it only waits, and so it counts among the streams.
      const leave = table.limits.streams.take(tenantId);
      c.get('flight').land();
      return retry().finally(leave);
    },
  );
}
