import type { Client } from './client.ts';
import type { Agent } from './wire/agents.ts';
import type { Environment } from './wire/environments.ts';

/** The most that one page of the API holds. */
const MOST = 100;

/** The agent to talk with when nobody chose one: the one the server made on its first start, else the newest, else a new one. */
export async function ensureAgent(client: Client): Promise<Agent> {
  const { data } = await client.agents.list({ limit: MOST });
  const found = data.find((agent) => agent.metadata['cloister.default'] === 'true') ?? data[0];
  if (found !== undefined) return found;
  const { model } = await client.status();
  return client.agents.create({ name: 'default', model });
}

/** The environment to work in when nobody chose one: the one named `default`, else the newest, else a new standard sandbox. */
export async function ensureEnvironment(client: Client): Promise<Environment> {
  const { data } = await client.environments.list({ limit: MOST });
  const found = data.find((environment) => environment.name === 'default') ?? data[0];
  return found ?? client.environments.create({ name: 'default', config: { type: 'cloud' } });
}
