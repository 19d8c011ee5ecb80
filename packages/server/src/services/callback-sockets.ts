import { once } from 'node:events';
import { chmod, rm } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { PROBLEM_KINDS, PROBLEMS, serviceCallbackSchema } from '@cloister/api';
import { PlatformError, toPlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { ServiceRow } from '../store/store.ts';
import { CALLBACK_SOCKET, serviceDirectory } from './files.ts';
import type { Report } from './report.ts';

/**
 * How a program that reaches nothing tells how it is doing: a unix socket in its `/run/cloister`, which takes the
 * callback of this one service and nothing else. The token is asked for here too.
 */
export interface CallbackSockets {
  /** Listens for these that have a container, and no longer for the others. */
  keep(rows: readonly ServiceRow[]): Promise<void>;
  close(): Promise<void>;
}

export interface CallbackSocketDeps {
  readonly dataDir: string;
  readonly log: Logger;
  readonly report: Report;
}

const MAX_SOCKET_PATH = 107;
const MAX_BODY_BYTES = 16 * 1024;
const MAX_CONNECTIONS = 8;
const REQUEST_MS = 10_000;

export function createCallbackSockets(deps: CallbackSocketDeps): CallbackSockets {
  const { dataDir, log } = deps;
  const servers = new Map<string, http.Server>();

  async function open(id: string): Promise<void> {
    const socket = path.join(serviceDirectory(dataDir, id), 'run', CALLBACK_SOCKET);
    const server = http.createServer((request, response) => void answer(deps, id, { request, response }));
    servers.set(id, server);
    if (Buffer.byteLength(socket) > MAX_SOCKET_PATH)
      return log.warn({ service: id }, 'a service has no callback socket, since the path of DATA_DIR is too long for one');
    server.maxConnections = MAX_CONNECTIONS;
    server.requestTimeout = REQUEST_MS;
    server.headersTimeout = REQUEST_MS;
    // What a killed server left answers nobody.
    await rm(socket, { force: true });
    server.listen(socket);
    await once(server, 'listening');
    // The directory around it is closed to all others; inside, the service's user is not the server's.
    await chmod(socket, 0o666);
  }

  async function shut(id: string, server: http.Server): Promise<void> {
    servers.delete(id);
    if (!server.listening) return;
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  }

  return {
    async keep(rows) {
      const wanted = new Set(rows.filter(({ state }) => state === 'running').map(({ id }) => id));
      for (const [id, server] of servers) if (!wanted.has(id)) await shut(id, server);
      for (const id of wanted) {
        if (servers.has(id)) continue;
        await open(id).catch((error: unknown) => {
          servers.delete(id);
          log.warn({ err: error, service: id }, 'the callback socket of a service could not be opened; trying again');
        });
      }
    },
    async close() {
      for (const [id, server] of servers) await shut(id, server);
    },
  };
}

interface Exchange {
  readonly request: http.IncomingMessage;
  readonly response: http.ServerResponse;
}

async function answer({ log, report }: CallbackSocketDeps, id: string, { request, response }: Exchange): Promise<void> {
  const send = (status: number, body: object) => {
    response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
    response.end(JSON.stringify(body));
  };
  try {
    if (request.method !== 'POST' || request.url !== '/callback') throw new PlatformError('route_not_found');
    const body = serviceCallbackSchema.safeParse(await readBody(request));
    if (!body.success) throw new PlatformError('request_invalid');
    const bearer = /^Bearer\s+(\S+)\s*$/i.exec(request.headers.authorization ?? '')?.[1];
    await report(id, bearer, body.data);
    send(200, { received: true });
  } catch (error) {
    const { code, message } = toPlatformError(error);
    if (code === 'bug') log.error({ err: error, service: id }, "a service's callback failed");
    send(PROBLEM_KINDS[PROBLEMS[code].kind].status, { type: 'error', error: { code, message } });
  }
}

async function readBody(request: http.IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new PlatformError('message_too_large');
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch (cause) {
    throw new PlatformError('json_malformed', { cause });
  }
}
