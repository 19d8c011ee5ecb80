import { type Client, createClient } from '@cloister/api';
import { ADMIN_KEY, type ServerProcess, startServerProcess } from '../../packages/server/test/support/server-process.ts';

/** A server in a process of its own, as its users have it, with sessions to write to. */
export interface BenchServer extends AsyncDisposable {
  readonly server: ServerProcess;
  readonly client: Client;
  newSessions(count: number): Promise<readonly string[]>;
}

export async function startBenchServer(env: Readonly<Record<string, string>>): Promise<BenchServer> {
  const server = await startServerProcess({ env: { LOG_LEVEL: 'warn', ...env }, readyMs: 300_000 });
  const client = createClient({ url: server.url, key: ADMIN_KEY });
  const [agent, environment] = [(await client.agents.list()).data[0], (await client.environments.list()).data[0]];
  if (agent === undefined || environment === undefined) throw new Error('the defaults are missing');
  return {
    server,
    client,
    newSessions: (count) =>
      Promise.all(
        Array.from({ length: count }, async () => (await client.sessions.create({ agent: agent.id, environment_id: environment.id })).id),
      ),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

export const FAKE_RUNTIME = { CLOISTER_RUNTIME: 'fake' };
