import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import net from 'node:net';

const ENGINE_SOCKET = '/var/run/docker.sock';

/** The engine's socket under another name, which a test can take away, with every connection over it, as an engine that stops does. */
export async function relayEngine(socketPath: string): Promise<{ close(): Promise<void> }> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, (client) => {
    const upstream = net.connect({ path: ENGINE_SOCKET, allowHalfOpen: true });
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.pipe(to);
      from.on('error', () => to.destroy()).on('close', () => sockets.delete(from));
    }
  });
  server.listen(socketPath);
  await once(server, 'listening');
  return {
    async close() {
      if (!server.listening) return;
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
      await rm(socketPath, { force: true });
    },
  };
}
