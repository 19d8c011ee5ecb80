import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { AcpServer } from '@agentclientprotocol/sdk/experimental/server';
import { type Client, createClient, ensureAgent, ensureEnvironment } from '@cloister/api';
import { type WebSocket, WebSocketServer } from 'ws';
import { bridgeApp } from '../../acp-bridge/bridge.ts';
import type { Clock } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { App } from '../app.ts';

/** ACP over WebSockets at `/acp`: each is an editor, with the rights of the key that it came with. */
export interface AcpSockets {
  /** Takes over a request that asks for another protocol. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  close(): Promise<void>;
}

/** Files that an editor sends along come within one message. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;
/** Below the five seconds within which a key that was revoked is good for nothing. */
const LOOK_MS = 3000;
const PATH = '/acp';
/** No host: requests go to the app itself. */
const ORIGIN = 'http://acp.invalid';

export function createAcpSockets({ app, clock, log }: { readonly app: App; readonly clock: Clock; readonly log: Logger }): AcpSockets {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES, perMessageDeflate: false });
  const connectionIds = new WeakMap<IncomingMessage, string>();
  sockets.on('headers', (headers, request) => {
    const id = connectionIds.get(request);
    if (id !== undefined) headers.push(`Acp-Connection-Id: ${id}`);
  });
  const server = new AcpServer({ createAgent: () => refuseUnprepared() });
  const open = new Set<WebSocket>();

  /** The same look at key, rate and role as for any other request. */
  const ask = (headers: Headers): Promise<Response> => Promise.resolve(app.fetch(new Request(`${ORIGIN}${PATH}`, { headers })));

  async function accept(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const url = new URL(request.url ?? '', ORIGIN);
    const headers = credentialsOf(request);
    const answer = await ask(headers);
    if (url.pathname !== PATH || answer.status !== 200) return refuse(socket, url.pathname === PATH ? answer.status : 404);
    const client = clientOf(app, headers);
    const agent = bridgeApp({
      client,
      clock,
      newSession: () => newSession(client, url.searchParams),
      onError: (error) => log.warn({ err: error }, 'an editor could not be told of something'),
    });
    const prepared = server.prepareWebSocketUpgrade({ agent });
    connectionIds.set(request, prepared.connectionId);
    sockets.handleUpgrade(request, socket, head, (websocket) => {
      open.add(websocket);
      const stopLooking = clock.every(LOOK_MS, () => void look(websocket, headers));
      websocket.once('close', () => {
        stopLooking();
        open.delete(websocket);
      });
      prepared.accept(websocket);
    });
  }

  async function look(websocket: WebSocket, headers: Headers): Promise<void> {
    const { status } = await ask(headers);
    if (status === 401 || status === 403) websocket.close(1008, 'the key counts no more');
  }

  return {
    upgrade(request, socket, head) {
      socket.on('error', (error) => log.debug({ err: error }, 'a connection broke off while it was upgraded'));
      accept(request, socket, head).catch((error: unknown) => {
        log.error({ err: error }, 'a WebSocket could not be opened for a reason of our own');
        refuse(socket, 500);
      });
    },
    async close() {
      for (const websocket of open) websocket.terminate();
      sockets.close();
      await server.close();
    },
  };
}

function refuseUnprepared(): never {
  throw new PlatformError('bug', { detail: 'An editor came without being let in.' });
}

function credentialsOf({ headers }: IncomingMessage): Headers {
  const kept = new Headers();
  for (const name of ['authorization', 'x-api-key'] as const) {
    const value = headers[name];
    if (typeof value === 'string') kept.set(name, value);
  }
  return kept;
}

function clientOf(app: App, headers: Headers): Client {
  return createClient({
    url: ORIGIN,
    key: undefined,
    fetch: async (input, init) => {
      const request = new Request(input, init);
      for (const [name, value] of headers) request.headers.set(name, value);
      return app.fetch(request);
    },
  });
}

/** Sessions are made for the agent and in the environment that the address names, by id or name. */
async function newSession(client: Client, query: URLSearchParams): Promise<string> {
  const named = <T extends { readonly id: string; readonly name: string }>(all: readonly T[], wanted: string): string =>
    (all.find(({ id }) => id === wanted) ?? all.find(({ name }) => name === wanted))?.id ?? wanted;
  const [agent, environment] = [query.get('agent'), query.get('environment')];
  const session = await client.sessions.create({
    agent: agent === null ? (await ensureAgent(client)).id : named((await client.agents.list({ limit: 100 })).data, agent),
    environment_id:
      environment === null
        ? (await ensureEnvironment(client)).id
        : named((await client.environments.list({ limit: 100 })).data, environment),
  });
  return session.id;
}

function refuse(socket: Duplex, status: number): void {
  socket.end(`HTTP/1.1 ${status} Refused\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
