import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { createAdaptorServer } from '@hono/node-server';
import type { Clock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import type { AcpSockets } from './acp/sockets.ts';
import type { App } from './app.ts';

export interface HttpServer {
  /** Where it listens, such as `http://127.0.0.1:3000`. */
  readonly url: string;
  /** Takes no new connections, lets answers under way end for `graceMs`, then cuts them. */
  stop(options: { graceMs: number }): Promise<void>;
}

const LIMITS = {
  headersTimeout: 10_000,
  // A large file may take its time; JSON bodies have their own, shorter limit.
  requestTimeout: 1_800_000,
  keepAliveTimeout: 65_000,
  maxHeaderSize: 16_384,
  connectionsCheckingInterval: 5000,
};

/** Listens. Throws `config_invalid` when the address cannot be had. */
export async function startHttpServer(input: {
  readonly app: App;
  readonly host: string;
  readonly port: number;
  readonly clock: Clock;
  /** Takes requests for another protocol; without it they are as any other. */
  readonly sockets?: AcpSockets | undefined;
}): Promise<HttpServer> {
  const server = createAdaptorServer({
    fetch: input.app.fetch,
    createServer,
    serverOptions: LIMITS,
    overrideGlobalObjects: false,
  }) as Server;
  const { sockets } = input;
  if (sockets !== undefined) server.on('upgrade', sockets.upgrade);
  server.listen(input.port, input.host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw listenProblem(input, cause);
  }
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : input.port;
  const host = input.host.includes(':') ? `[${input.host}]` : input.host;
  return {
    url: `http://${host}:${port}`,
    async stop({ graceMs }) {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      await sockets?.close();
      const cancel = input.clock.after(graceMs, () => server.closeAllConnections());
      await closed;
      cancel();
    },
  };
}

function listenProblem(input: { readonly host: string; readonly port: number }, cause: unknown): PlatformError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  const where = `${input.host}:${input.port}`;
  if (code === 'EADDRINUSE')
    return new PlatformError('config_invalid', {
      detail: `PORT: ${where} is in use by another program; stop it, or set PORT to another number.`,
      cause,
    });
  if (code === 'EACCES')
    return new PlatformError('config_invalid', {
      detail: `PORT: ${where} needs rights this user has not; set PORT to 1024 or more.`,
      cause,
    });
  return new PlatformError('config_invalid', { detail: `HOST: the server cannot listen on ${where} (${String(code)}).`, cause });
}
