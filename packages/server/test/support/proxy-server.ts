import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse, request as send } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { type AddressInfo, connect, isIP, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

export interface ProxyServer extends AsyncDisposable {
  readonly url: string;
  /** What went through, or was refused: `CONNECT name:port`, `GET http://name/path`. */
  readonly passed: string[];
  /** Without credentials everything is answered 407. */
  credentials: string | undefined;
  /** Instead of letting anything through. */
  refuseWith: number | undefined;
}

/** A forward proxy that speaks CONNECT and the absolute form. It looks every name up itself, and finds all of them here. */
export async function startProxy(tls?: { readonly key: string; readonly cert: string }): Promise<ProxyServer> {
  const sockets = new Set<Duplex>();
  const passed: string[] = [];
  const state: { credentials: string | undefined; refuseWith: number | undefined } = { credentials: undefined, refuseWith: undefined };
  const refusal = ({ headers, method, url }: IncomingMessage): number | undefined => {
    passed.push(`${method} ${url}`);
    if (state.credentials !== undefined && headers['proxy-authorization'] !== state.credentials) return 407;
    return state.refuseWith;
  };
  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    const url = URL.parse(request.url ?? '');
    const status = url === null ? 400 : refusal(request);
    if (url === null || status !== undefined) return void response.writeHead(status ?? 400).end('the proxy says no');
    const { 'proxy-authorization': _, ...headers } = request.headers;
    const { hostname, port, pathname, search } = url;
    const options = { host: placeOf(hostname), port: Number(port || 80), method: request.method ?? 'GET', path: pathname + search };
    const onward = send({ ...options, headers: { ...headers, host: url.host, via: '1.1 proxy' } }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.writeHead(502).end());
    request.pipe(onward);
  };
  const server: Server = tls === undefined ? createServer(onRequest) : createSecureServer(tls, onRequest);
  server.on('connect', (request: IncomingMessage, client: Duplex) => {
    client.on('error', () => client.destroy());
    const status = refusal(request);
    if (status !== undefined) return void client.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`);
    const [, host = '', port] = /^(.*):(\d+)$/.exec(request.url ?? '') ?? [];
    const upstream = connect(Number(port), placeOf(host.replace(/^\[|\]$/g, '')), () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      upstream.pipe(client).pipe(upstream);
    });
    upstream.on('error', () => client.destroy()).once('close', () => client.destroy());
    client.once('close', () => upstream.destroy());
  });
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).once('close', () => sockets.delete(socket));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  // As: a server that listens on TCP has an address of this form.
  const { port } = server.address() as AddressInfo;
  return Object.assign(state, {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    passed,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  });
}

function placeOf(host: string): string {
  return isIP(host) === 0 ? '127.0.0.1' : host;
}
