import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { type Client, createClient, type EventSendResponse } from '../../packages/api/src/index.ts';
import { createServerControl } from '../torture/server-control.ts';

/** The built server in a process of its own, as `npm start` runs it, with data of its own. */
export interface Platform extends AsyncDisposable {
  readonly url: string;
  readonly key: string;
  readonly pid: number;
  readonly client: Client;
  newSession(): Promise<string>;
  /** Sends one text. With `wait` the answer comes when the turn has ended. */
  post(sessionId: string, text: string, wait?: number): Promise<EventSendResponse>;
}

const PROGRAM = path.resolve(import.meta.dirname, '../../packages/server/dist/cloister.mjs');

export async function startPlatform(env: Readonly<Record<string, string>> = {}): Promise<Platform> {
  const dataDir = await mkdtemp(path.join(os.tmpdir(), 'cloister-bench-'));
  // A backlog is measured, not refused.
  const queues = { MAX_QUEUED: '1000000', MAX_QUEUED_PER_TENANT: '1000000' };
  const control = await createServerControl({
    dataDir,
    program: PROGRAM,
    env: { LOG_LEVEL: 'warn', DRAIN_SECONDS: '0', ...queues, ...env },
  });
  const stop = async () => {
    await control.kill('SIGTERM');
    await rm(dataDir, { recursive: true, force: true });
  };
  try {
    await control.start();
  } catch (error) {
    await stop();
    throw error;
  }
  const { url, key, pid } = control;
  const client = createClient({ url, key });
  const agent = new Agent({ keepAlive: true, maxSockets: 512 });
  const [environments, agents] = [await client.environments.list(), await client.agents.list()];
  const environmentId = environments.data[0]?.id ?? '';
  const agentId = agents.data[0]?.id ?? '';
  if (pid === undefined) throw new Error('the server has no process');
  return {
    url,
    key,
    pid,
    client,
    newSession: async () => (await client.sessions.create({ agent: agentId, environment_id: environmentId })).id,
    post(sessionId, text, wait) {
      const query = wait === undefined ? '' : `?wait=${wait}`;
      const body = JSON.stringify({ events: [{ type: 'user.message', content: [{ type: 'text', text }] }] });
      return postJson(`${url}/v1/sessions/${sessionId}/events${query}`, { agent, key, body });
    },
    async [Symbol.asyncDispose]() {
      agent.destroy();
      await stop();
    },
  };
}

/** Leaner than `fetch`, whose own work would be a good part of what is measured on two cores. */
function postJson(url: string, { agent, key, body }: { agent: Agent; key: string; body: string }): Promise<EventSendResponse> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), 'x-api-key': key };
    const outgoing = request(url, { method: 'POST', agent, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        if (response.statusCode === 200)
          resolve(JSON.parse(text) as EventSendResponse); // the server's own schema
        else reject(new Error(`the server answered ${response.statusCode}: ${text.slice(0, 500)}`));
      });
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
