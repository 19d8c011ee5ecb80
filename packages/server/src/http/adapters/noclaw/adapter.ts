import {
  detailErrorSchema,
  noclawContextSchema,
  noclawContextUpdatedSchema,
  noclawHeartbeatDisabledSchema,
  noclawHeartbeatEnabledSchema,
  noclawHeartbeatQuerySchema,
  noclawHeartbeatSchema,
  noclawScheduledSchema,
  noclawScheduleSchema,
  noclawTaskDeletedSchema,
  noclawTasksSchema,
  noclawUserSchema,
} from '@cloister/api';
import { PlatformError } from '../../../base/errors.ts';
import { parseBody } from '../../input.ts';
import { type RouteTable, route } from '../../openapi.ts';
import { detailStatus, renderDetail } from '../detail-errors.ts';
import type { HttpAdapter } from '../support.ts';
import { NO_TASKS } from './answers.ts';
import { ADAPTER, noclawAgent, systemOf } from './conversation.ts';
import { isCron } from './cron.ts';
import { historyRoute } from './history.ts';
import { webhookRoute } from './webhook.ts';

const PATHS = /^\/(webhook|schedule|tasks|history|context|heartbeat)(\/|$)/;
/** How often a heartbeat is, where nobody said. */
const INTERVAL_SECONDS = 1800;
const common = { tag: 'NoClaw', errorSchema: detailErrorSchema, errorStatus: detailStatus } as const;

/** The API of NoClaw: a user's conversation is a session of an agent of theirs, in a new sandbox for each request. */
export const noclawAdapter: HttpAdapter = {
  name: ADAPTER,
  owns: (path) => PATHS.test(path),
  renderError: renderDetail,
  routes(table) {
    webhookRoute(table);
    historyRoute(table);
    contextRoute(table);
    taskRoutes(table);
    heartbeatRoutes(table);
  },
};

function contextRoute(table: RouteTable): void {
  const { deps } = table;
  route(
    table,
    {
      ...common,
      method: 'post',
      path: '/context/{user}',
      operationId: 'noclawSetContext',
      summary: "Set the user's context, which the agent has from the next message on; the body is a JSON text",
      body: noclawContextSchema,
      response: noclawContextUpdatedSchema,
      problems: ['agent_archived', 'agent_version_conflict'],
    },
    async ({ tenantId, body, param }) => {
      const user = parseBody(noclawUserSchema, param('user'));
      const { id } = await noclawAgent(deps, tenantId, user);
      await deps.agents.update(tenantId, id, { system: systemOf(body) });
      return { status: 'updated' as const, user };
    },
  );
}

/** There are no schedules, so there are no tasks, and nothing to be found by an id. */
function taskRoutes(table: RouteTable): void {
  route(
    table,
    {
      ...common,
      method: 'post',
      path: '/schedule',
      operationId: 'noclawSchedule',
      summary: 'Schedule a prompt: not here yet, answered with 501',
      body: noclawScheduleSchema,
      response: noclawScheduledSchema,
      problems: ['cron_invalid', 'schedules_missing'],
    },
    async ({ body }) => {
      if (!isCron(body.cron)) throw new PlatformError('cron_invalid', { fields: [{ pointer: '/cron', message: 'no cron expression' }] });
      throw new PlatformError('schedules_missing');
    },
  );
  route(
    table,
    {
      ...common,
      method: 'get',
      path: '/tasks/{id}',
      operationId: 'noclawTasks',
      summary: 'The scheduled tasks of a user, whose name is the `id`',
      response: noclawTasksSchema,
    },
    async ({ param }) => ({ user: param('id'), tasks: [...NO_TASKS] }),
  );
  route(
    table,
    {
      ...common,
      method: 'delete',
      path: '/tasks/{id}',
      operationId: 'noclawDeleteTask',
      summary: 'Delete a scheduled task',
      response: noclawTaskDeletedSchema,
      problems: ['task_not_found'],
    },
    async () => {
      throw new PlatformError('task_not_found');
    },
  );
}

function heartbeatRoutes(table: RouteTable): void {
  route(
    table,
    {
      ...common,
      method: 'post',
      path: '/heartbeat/{user}/enable',
      operationId: 'noclawEnableHeartbeat',
      summary: "Enable a user's heartbeat: not here yet, answered with 501",
      query: noclawHeartbeatQuerySchema,
      response: noclawHeartbeatEnabledSchema,
      problems: ['schedules_missing'],
    },
    async () => {
      throw new PlatformError('schedules_missing');
    },
  );
  route(
    table,
    {
      ...common,
      method: 'post',
      path: '/heartbeat/{user}/disable',
      operationId: 'noclawDisableHeartbeat',
      summary: "Disable a user's heartbeat",
      response: noclawHeartbeatDisabledSchema,
    },
    async ({ param }) => ({ status: 'disabled' as const, user: param('user') }),
  );
  route(
    table,
    {
      ...common,
      method: 'get',
      path: '/heartbeat/{user}/status',
      operationId: 'noclawHeartbeatStatus',
      summary: "Whether a user's heartbeat is enabled",
      response: noclawHeartbeatSchema,
    },
    async ({ param }) => ({ user: param('user'), enabled: false, interval: INTERVAL_SECONDS, last_heartbeat: null }),
  );
}
