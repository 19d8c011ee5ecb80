import type { Client } from './client.ts';
import type { Agent } from './wire/agents.ts';
import type { Environment } from './wire/environments.ts';

/** The agent to talk with when nobody chose one: the newest, or on a new installation one made with the server's defaults. */
export async function ensureAgent(client: Client): Promise<Agent> {
  const [newest] = (await client.agents.list({ limit: 1 })).data;
  if (newest !== undefined) return newest;
  const { model } = await client.status();
  return client.agents.create({ name: 'Assistant', model });
}

/** The environment to work in when nobody chose one: the newest, or on a new installation the standard sandbox. */
export async function ensureEnvironment(client: Client): Promise<Environment> {
  const [newest] = (await client.environments.list({ limit: 1 })).data;
  return newest ?? client.environments.create({ name: 'Standard', config: { type: 'cloud' } });
}
