// A TCP proxy that can do to a connection what networks do: pass, slow down, swallow without a word, cut.
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** `blackhole` takes connections and bytes and passes nothing on, in either direction, without closing anything. */
type ProxyMode = 'pass' | 'blackhole' | 'refuse';

export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /**
   * How it treats connections from now on. A connection that met a black hole stays in it for good, as one does
   * whose peer has gone: only new connections pass again.
   */
  set(mode: ProxyMode): void;
  /** Holds every piece of data back for so long; 0 by default. */
  delay(ms: number): void;
  /** Resets every connection there is. */
  cut(): void;
  connections(): number;
  close(): Promise<void>;
}

interface Link {
  readonly client: Socket;
  readonly server: Socket;
  isLost: boolean;
}

export async function startTcpProxy(target: { readonly host: string; readonly port: number }): Promise<TcpProxy> {
  const links = new Set<Link>();
  let mode: ProxyMode = 'pass';
  let delayMs = 0;

  function open(client: Socket): void {
    if (mode === 'refuse') return void client.resetAndDestroy();
    const server = connect(target);
    const link: Link = { client, server, isLost: mode === 'blackhole' };
    links.add(link);
    join(link, client, server);
    join(link, server, client);
  }

  function join(link: Link, from: Socket, to: Socket): void {
    from.setNoDelay(true);
    from.on('data', (chunk) => {
      if (link.isLost) return;
      if (delayMs === 0) to.write(chunk);
      else setTimeout(() => !link.isLost && to.writable && to.write(chunk), delayMs);
    });
    from.on('end', () => {
      if (!link.isLost) to.end();
    });
    // What ends one side ends the other, unless nobody is to hear of it.
    from.on('error', () => undefined);
    from.on('close', () => {
      if (link.isLost && from === link.server) return;
      links.delete(link);
      to.destroy();
    });
  }

  // Half-open sockets stay half open: the proxy decides what the other side learns.
  const listener = createServer({ allowHalfOpen: true }, open).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');

  function cut(): void {
    for (const { client, server } of links) {
      reset(client);
      reset(server);
    }
    links.clear();
  }

  async function close(): Promise<void> {
    cut();
    listener.close();
    await once(listener, 'close');
  }

  return {
    port: address.port,
    set(next) {
      mode = next;
      if (next === 'blackhole') for (const link of links) link.isLost = true;
    },
    delay: (ms) => {
      delayMs = ms;
    },
    cut,
    connections: () => links.size,
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** A connection that is being ended cannot be reset any more, and would stay open if it were tried. */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
