import assert from 'node:assert/strict';
import type { Client } from '@cloister/api';
import { waitFor } from '../support/wait-for.ts';

/** A session of the agent and the environment that every installation has. */
export async function newSession(client: Client): Promise<string> {
  const [agent, environment] = [(await client.agents.list()).data[0], (await client.environments.list()).data[0]];
  return (await client.sessions.create({ agent: agent?.id ?? '', environment_id: environment?.id ?? '' })).id;
}

/** One message through a real sandbox, whose answer has to hold `expected`. */
export async function converse(client: Client, sessionId: string, command: string, expected: RegExp): Promise<void> {
  const { turn, events } = await client.events.send(sessionId, [{ type: 'user.message', content: `run ${command}` }], { wait: 60 });
  assert.equal(turn?.outcome, 'completed', JSON.stringify({ turn, events }));
  assert.match(JSON.stringify(events), expected);
}

/** Connections of a former life may look open from here; the first use of each finds out. */
export async function untilHealthy(client: Client): Promise<void> {
  await waitFor(() => client.health().catch(() => undefined), { timeoutMs: 120_000, what: 'the server to answer' });
}
