import type { Service } from '@cloister/api';
import { PlatformError } from '../../../base/errors.ts';
import type { HttpDeps } from '../../context.ts';
import type { RouteTable } from '../../openapi.ts';
import { containerStatus, portOf, serviceIdOf } from './agent.ts';
import { deploy, findService, heard } from './deploy.ts';
import { clawHqRoute, requireClawHqAgent } from './route.ts';
import { deployedSchema, logsQuerySchema, logsSchema, messageSchema, receivedSchema, statsSchema, webhookSchema } from './schemas.ts';

const MISSING = ['agent_not_found', 'service_not_found'] as const;
const WITH_CONTAINER = [...MISSING, 'service_not_running', 'service_elsewhere', 'capability_unsupported', 'runtime_unreachable'] as const;

export function containerRoutes(table: RouteTable): void {
  deployRoute(table);
  actionRoutes(table);
  outputRoutes(table);
  webhookRoute(table);
}

function deployRoute(table: RouteTable): void {
  const { deps } = table;
  clawHqRoute(
    table,
    {
      method: 'post',
      path: '/api/agents/{id}/deploy',
      operationId: 'clawhqDeployAgent',
      summary: 'Start a container for an agent, and keep it running',
      response: deployedSchema,
      problems: [
        'agent_not_found',
        'service_exists',
        'service_limit_reached',
        'service_ports_exhausted',
        'image_missing',
        'model_unknown',
        'provider_not_configured',
        'capability_unsupported',
        'runtime_unreachable',
      ],
    },
    async ({ tenantId, param }) => {
      const service = await deploy(deps, tenantId, await requireClawHqAgent(deps, tenantId, param('id')));
      return { message: 'Agent deployed', container: { status: containerStatus(service), port: portOf(service) } };
    },
  );
}

function actionRoutes(table: RouteTable): void {
  const { deps } = table;
  for (const [action, operationId, done] of [
    ['start', 'clawhqStartAgent', 'started'],
    ['stop', 'clawhqStopAgent', 'stopped'],
    ['restart', 'clawhqRestartAgent', 'restarted'],
  ] as const)
    clawHqRoute(
      table,
      {
        method: 'post',
        path: `/api/agents/{id}/${action}`,
        operationId,
        summary: `${action[0]?.toUpperCase()}${action.slice(1)} the container of an agent`,
        response: messageSchema,
        problems: [...MISSING, 'service_deleting'],
      },
      async ({ tenantId, param }) => {
        await requireDeployed(deps, tenantId, param('id'));
        await deps.services[action](tenantId, serviceIdOf(param('id')));
        return { message: `Agent ${done}` };
      },
    );
}

async function requireDeployed(deps: HttpDeps, tenantId: string, id: string): Promise<Service> {
  const agent = await requireClawHqAgent(deps, tenantId, id);
  const service = await findService(deps, tenantId, id);
  if (service === undefined) throw new PlatformError('service_not_found', { detail: `The agent "${agent.name}" is not deployed.` });
  return service;
}

/** The first sample has nothing to be compared with, so it shows no use of the CPU. */
const SAMPLES = 2;
/** A container that says nothing, such as one that sleeps, is not waited for longer. */
const SAMPLES_MS = 5000;
const MB = 1024 * 1024;

function outputRoutes(table: RouteTable): void {
  const { deps } = table;
  clawHqRoute(
    table,
    {
      method: 'get',
      path: '/api/agents/{id}/stats',
      operationId: 'clawhqAgentStats',
      summary: 'What the container of an agent uses now',
      response: statsSchema,
      problems: WITH_CONTAINER,
    },
    async ({ c, tenantId, param }) => {
      const service = await requireDeployed(deps, tenantId, param('id'));
      const stop = new AbortController();
      const signal = AbortSignal.any([stop.signal, c.req.raw.signal]);
      const cancel = deps.clock.after(SAMPLES_MS, () => stop.abort());
      let last = { cpuPercent: 0, memoryBytes: 0 };
      let seen = 0;
      try {
        for await (const stats of await deps.services.stats(tenantId, service.id, signal)) {
          last = stats;
          if (++seen === SAMPLES) break;
        }
      } finally {
        cancel();
        stop.abort();
      }
      const since = service.started_at === null ? deps.clock.now() : Date.parse(service.started_at);
      return {
        cpu_percent: last.cpuPercent,
        memory_usage_mb: Math.round((last.memoryBytes / MB) * 100) / 100,
        uptime_seconds: Math.max(0, Math.round((deps.clock.now() - since) / 1000)),
      };
    },
  );
  clawHqRoute(
    table,
    {
      method: 'get',
      path: '/api/agents/{id}/logs',
      operationId: 'clawhqAgentLogs',
      summary: 'The last lines of the container of an agent',
      query: logsQuerySchema,
      response: logsSchema,
      problems: WITH_CONTAINER,
    },
    async ({ c, tenantId, param, query }) => {
      const service = await requireDeployed(deps, tenantId, param('id'));
      const lines: string[] = [];
      const input = { tail: query.lines, follow: false, signal: c.req.raw.signal };
      for await (const { at, text } of await deps.services.logs(tenantId, service.id, input)) lines.push(`${at} ${text}`);
      return { logs: lines.join('\n') };
    },
  );
}

function webhookRoute(table: RouteTable): void {
  clawHqRoute(
    table,
    {
      method: 'post',
      path: '/api/agents/{id}/webhook',
      operationId: 'clawhqAgentWebhook',
      summary: 'For the program of an agent: tells how it is doing, with CLAWHQ_WEBHOOK_TOKEN',
      headers: { 'X-Webhook-Token': 'The token that the container was given' },
      keepsOwnKeys: true,
      isPublic: true,
      body: webhookSchema,
      response: receivedSchema,
      problems: ['request_invalid', 'credentials_invalid', 'overloaded', 'store_unavailable'],
    },
    async ({ c, param, body }) => {
      await heard(table.deps, param('id'), c.req.header('x-webhook-token')?.trim(), body);
      return { received: true as const };
    },
  );
}
