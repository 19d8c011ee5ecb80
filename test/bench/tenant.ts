import { Agent, request } from 'node:http';
import { type Client, createClient, type EventSendResponse } from '../../packages/api/src/index.ts';

/** One tenant's side of a server: what it sends, and what it was told is accepted. */
export interface Tenant {
  readonly url: string;
  readonly key: string;
  readonly client: Client;
  /** The ids of all accepted messages, by session. */
  readonly accepted: Map<string, string[]>;
  newSession(agentId?: string): Promise<string>;
  /** Sends one text. With `wait` the answer comes when the turn has ended. */
  post(sessionId: string, text: string, wait?: number): Promise<EventSendResponse>;
  /** Sends several texts at once. */
  postAll(sessionId: string, texts: readonly string[]): Promise<EventSendResponse>;
  /** Asks `count` turns to stop. */
  interrupt(sessionId: string, count: number): Promise<void>;
  close(): void;
}

export async function createTenant({ url, key }: { readonly url: string; readonly key: string }): Promise<Tenant> {
  const client = createClient({ url, key });
  const agent = new Agent({ keepAlive: true, maxSockets: 512 });
  const accepted = new Map<string, string[]>();
  const [environments, agents] = [await client.environments.list(), await client.agents.list()];
  const environmentId = (environments.data[0] ?? (await client.environments.create({ name: 'bench' }))).id;
  const defaultAgentId = (agents.data[0] ?? (await client.agents.create({ name: 'bench', model: 'demo' }))).id;

  async function send(sessionId: string, events: readonly object[], query = ''): Promise<EventSendResponse> {
    const answer = await postJson(`${url}/v1/sessions/${sessionId}/events${query}`, { agent, key, body: JSON.stringify({ events }) });
    const ids = answer.data.filter(({ type }) => type === 'user.message').map(({ id }) => id);
    const known = accepted.get(sessionId);
    if (known === undefined) accepted.set(sessionId, ids);
    else known.push(...ids);
    return answer;
  }

  return {
    url,
    key,
    client,
    accepted,
    newSession: async (agentId = defaultAgentId) => (await client.sessions.create({ agent: agentId, environment_id: environmentId })).id,
    post: (sessionId, text, wait) => send(sessionId, [message(text)], wait === undefined ? '' : `?wait=${wait}`),
    postAll: (sessionId, texts) => send(sessionId, texts.map(message)),
    async interrupt(sessionId, count) {
      await send(
        sessionId,
        Array.from({ length: count }, () => ({ type: 'user.interrupt' })),
      );
    },
    close: () => agent.destroy(),
  };
}

/** The server refused; `status` says how. */
export class RefusedError extends Error {
  readonly status: number;

  constructor(status: number, text: string) {
    super(`the server answered ${status}: ${text.slice(0, 500)}`);
    this.status = status;
  }
}

function message(text: string): object {
  return { type: 'user.message', content: [{ type: 'text', text }] };
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
        else reject(new RefusedError(response.statusCode ?? 0, text));
      });
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
