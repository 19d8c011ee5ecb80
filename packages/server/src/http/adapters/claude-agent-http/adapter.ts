import {
  agentHttpSessionCreateSchema,
  agentHttpSessionListQuerySchema,
  agentHttpSessionListSchema,
  agentHttpSessionSchema,
  detailErrorSchema,
} from '@cloister/api';
import { newId } from '../../../base/ids.ts';
import { type RouteTable, route } from '../../openapi.ts';
import { renderDetail } from '../detail-errors.ts';
import type { AdapterProblem, HttpAdapter, RenderedError } from '../support.ts';
import { chatRoutes } from './chat.ts';
import { agentHttpStatus } from './status.ts';
import {
  ADAPTER,
  createUserSession,
  listUserSessions,
  removeUserSession,
  requireUserSession,
  toAgentHttpSession,
} from './user-sessions.ts';

const tag = 'Claude Agent HTTP';
const common = { tag, errorSchema: detailErrorSchema, errorStatus: agentHttpStatus } as const;

/** The API of Claude Agent HTTP: a user's sessions are sessions of an agent of theirs. */
export const claudeAgentHttpAdapter: HttpAdapter = {
  name: ADAPTER,
  owns: (path) => path === '/api/v1' || path.startsWith('/api/v1/'),
  renderError,
  routes(table) {
    sessionRoutes(table);
    ownSessionRoutes(table);
    chatRoutes(table);
  },
};

/** Two of their answers have words that clients look at, and another status than ours. */
function renderError(problem: AdapterProblem): RenderedError {
  const rendered = renderDetail(problem);
  const { code, retry_after_ms: waitMs = 1000 } = problem.error;
  if (code === 'session_not_found') return { ...rendered, body: { ...rendered.body, detail: 'Session not found or expired' } };
  if (code !== 'session_busy') return rendered;
  const headers = { 'Retry-After': String(Math.ceil(waitMs / 1000)) };
  return { status: 429, headers, body: { ...rendered.body, detail: 'Session is busy processing another request' } };
}

function sessionRoutes(table: RouteTable): void {
  const { deps } = table;
  route(
    table,
    {
      ...common,
      method: 'post',
      path: '/api/v1/sessions',
      operationId: 'agentHttpCreateSession',
      summary: 'Create a session of a user',
      body: agentHttpSessionCreateSchema,
      status: 201,
      response: agentHttpSessionSchema,
      problems: ['path_invalid', 'user_session_limit_reached', 'model_unknown', 'provider_not_configured', 'draining'],
    },
    async ({ tenantId, body, reservation }) =>
      toAgentHttpSession(await createUserSession(deps, tenantId, body, reservation.idFor('session') ?? newId('session'))),
  );
  route(
    table,
    {
      ...common,
      method: 'get',
      path: '/api/v1/sessions',
      operationId: 'agentHttpListSessions',
      summary: 'List the ids of sessions',
      query: agentHttpSessionListQuerySchema,
      response: agentHttpSessionListSchema,
    },
    ({ tenantId, query }) => listUserSessions(deps, tenantId, query.user_id),
  );
}

function ownSessionRoutes(table: RouteTable): void {
  const { deps } = table;
  route(
    table,
    {
      ...common,
      method: 'get',
      path: '/api/v1/sessions/{id}',
      operationId: 'agentHttpGetSession',
      summary: 'Get a session',
      response: agentHttpSessionSchema,
      problems: ['session_not_found'],
    },
    async ({ tenantId, param }) => toAgentHttpSession(await requireUserSession(deps, tenantId, param('id'))),
  );
  route(
    table,
    {
      ...common,
      method: 'post',
      path: '/api/v1/sessions/{id}/resume',
      operationId: 'agentHttpResumeSession',
      summary: 'Resume a session: its next message goes on with it in any case',
      response: agentHttpSessionSchema,
      problems: ['session_not_found'],
    },
    async ({ tenantId, param }) => toAgentHttpSession(await requireUserSession(deps, tenantId, param('id'))),
  );
  route(
    table,
    {
      ...common,
      method: 'delete',
      path: '/api/v1/sessions/{id}',
      operationId: 'agentHttpDeleteSession',
      summary: 'Stop and delete a session; the files of the user stay',
      status: 204,
      response: agentHttpSessionSchema,
      problems: ['session_not_found', 'session_busy'],
    },
    async ({ tenantId, param }) => {
      await removeUserSession(deps, tenantId, param('id'));
      return {};
    },
  );
}
