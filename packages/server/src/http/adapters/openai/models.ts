import type { Agent } from '@cloister/api';
import { z } from 'zod';
import type { RouteTable } from '../../openapi.ts';
import { agentByName, allAgents } from '../choices.ts';
import { openAiRoute } from './route.ts';

/** Fields of OpenAI’s models and of Anthropic’s, whose SDKs ask at the same path. */
const modelSchema = z.object({
  id: z.string().describe('Of an agent, or its name'),
  object: z.literal('model'),
  created: z.int(),
  owned_by: z.string(),
  root: z.string().describe('The agent’s id'),
  type: z.literal('model'),
  display_name: z.string(),
  created_at: z.string(),
});

const modelListSchema = z.object({
  object: z.literal('list'),
  data: z.array(modelSchema),
  has_more: z.literal(false),
  first_id: z.string().nullable(),
  last_id: z.string().nullable(),
});

export function modelRoutes(table: RouteTable): void {
  const { deps } = table;
  openAiRoute(
    table,
    { method: 'get', path: '/v1/models', operationId: 'listModels', summary: 'The agents, as models', response: modelListSchema },
    async ({ tenantId }) => {
      const data = toModels(await allAgents(deps, tenantId));
      return { object: 'list', data, has_more: false, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null };
    },
  );
  openAiRoute(
    table,
    {
      method: 'get',
      path: '/v1/models/{model}',
      operationId: 'getModel',
      summary: 'An agent, as a model',
      response: modelSchema,
      problems: ['agent_not_found'],
    },
    async ({ tenantId, param }) => toModel(await agentByName(deps, tenantId, param('model'), 'model'), param('model')),
  );
}

/** Each by its id, and by its name where that is nobody else's. */
function toModels(agents: readonly Agent[]): z.infer<typeof modelSchema>[] {
  const names = new Map<string, Agent>();
  for (const agent of agents) if (!names.has(agent.name)) names.set(agent.name, agent);
  return [...agents.map((agent) => toModel(agent, agent.id)), ...[...names].map(([name, agent]) => toModel(agent, name))];
}

function toModel(agent: Agent, id: string): z.infer<typeof modelSchema> {
  return {
    id,
    object: 'model',
    created: Math.floor(Date.parse(agent.created_at) / 1000),
    owned_by: 'cloister',
    root: agent.id,
    type: 'model',
    display_name: agent.name,
    created_at: agent.created_at,
  };
}
