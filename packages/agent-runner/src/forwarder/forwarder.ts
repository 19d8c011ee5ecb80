import { connect, createServer, type Socket } from 'node:net';

export interface Forwarder {
  readonly port: number;
  close(): void;
}

/**
 * Listens on 127.0.0.1 and pipes every connection to the gateway's unix socket, for programs that can
 * only speak to a host and a port. Nothing of it keeps the process alive. Rejects when the port is taken.
 */
export function startForwarder(options: { readonly port: number; readonly socketPath: string }): Promise<Forwarder> {
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => forward(client, options.socketPath));
  server.unref();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, '127.0.0.1', () => {
      server.off('error', reject);
      // A failure to accept one connection must not end the agent.
      server.on('error', (error) => console.error(`forwarder: ${error.message}`));
      const address = server.address();
      resolve({ port: typeof address === 'object' && address !== null ? address.port : options.port, close: () => server.close() });
    });
  });
}

/** Each direction ends on its own: a client that has said all it has to say still gets its answer. */
function forward(client: Socket, socketPath: string): void {
  let isConnected = false;
  const upstream = connect({ path: socketPath, allowHalfOpen: true });
  client.unref();
  upstream.unref();
  upstream.once('connect', () => {
    isConnected = true;
  });
  client.pipe(upstream);
  upstream.pipe(client);
  client.on('error', () => upstream.destroy());
  upstream.on('error', (error) => (isConnected ? client.destroy() : client.end(unreachable(error.message))));
  client.on('close', () => upstream.destroy());
  upstream.on('close', () => {
    if (isConnected) client.destroySoon();
  });
}

/** Every client of the gateway speaks HTTP, so the reason reaches it as an answer. */
function unreachable(reason: string): string {
  const body = JSON.stringify({ error: { type: 'gateway_unreachable', message: `The sandbox's gateway cannot be reached: ${reason}` } });
  return `HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`;
}
