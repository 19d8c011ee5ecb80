import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { waitFor } from '../../test/support/wait-for.ts';
import { systemClock } from '../base/clock.ts';
import { createConnector } from '../egress/connector.ts';
import { createSender, type SendResult } from './send.ts';

const TIMEOUT_MS = 400;
const BODY = JSON.stringify({ type: 'event', text: 'é'.repeat(10) });

interface Place extends AsyncDisposable {
  readonly url: string;
  /** Connections that are open. */
  open(): number;
}

async function listen(server: Server): Promise<Place> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/hook?a=b`,
    open: () => sockets.size,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

const http = (handler: RequestListener) => listen(createServer(handler));
const tcp = (handler: (socket: Socket) => void) => listen(createTcpServer(handler));

async function post(
  url: string,
  options: { allowPrivateNetwork?: boolean; signal?: AbortSignal; resolve?: string } = {},
): Promise<SendResult> {
  const { allowPrivateNetwork = true, signal = new AbortController().signal, resolve } = options;
  const connect = createConnector({
    clock: systemClock,
    timeoutMs: TIMEOUT_MS,
    allowPrivateNetwork,
    ...(resolve === undefined ? {} : { resolve: async () => [resolve] }),
  });
  const send = createSender({ connect, clock: systemClock, timeoutMs: TIMEOUT_MS });
  return send({ url: new URL(url), headers: { 'content-type': 'application/json', 'webhook-id': 'evt_1' }, body: BODY }, signal);
}

describe('sending a webhook', () => {
  it('posts the body and the headers, once', async () => {
    const got: unknown[] = [];
    await using place = await http((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        got.push([request.method, request.url, request.headers['webhook-id'], request.headers.host, Buffer.concat(chunks).toString()]);
        response.end('thanks');
      });
    });
    assert.deepEqual(await post(place.url), { kind: 'answered', status: 200, retryAfter: null });
    assert.deepEqual(got, [['POST', '/hook?a=b', 'evt_1', new URL(place.url).host, BODY]]);
    await waitFor(() => place.open() === 0, { timeoutMs: 2000, what: 'the connection to be closed' });
  });

  for (const status of [204, 301, 307, 400, 410, 429, 500, 503])
    it(`answers ${status} as it is, and follows nothing`, async () => {
      let requests = 0;
      await using place = await http((_request, response) => {
        requests++;
        response.writeHead(status, { 'retry-after': '7', location: '/elsewhere' }).end();
      });
      assert.deepEqual(await post(place.url), { kind: 'answered', status, retryAfter: '7' });
      assert.equal(requests, 1);
    });

  it('reads little of a huge answer', async () => {
    let written = 0;
    await using place = await http((_request, response) => {
      const fill = () => {
        while (written < 200_000_000 && !response.destroyed) {
          written += 65_536;
          if (!response.write(Buffer.alloc(65_536))) return void response.once('drain', fill);
        }
      };
      fill();
    });
    assert.deepEqual(await post(place.url), { kind: 'answered', status: 200, retryAfter: null });
    await waitFor(() => place.open() === 0, { timeoutMs: 2000, what: 'the connection to be closed' });
    assert.ok(written < 50_000_000, String(written));
  });

  it('goes by the status of an answer whose end never comes', async () => {
    await using place = await http((_request, response) => {
      response.writeHead(200).write('a');
    });
    assert.deepEqual(await post(place.url), { kind: 'answered', status: 200, retryAfter: null });
  });

  it('knows nothing of one that takes the request and is silent', async () => {
    await using place = await tcp((socket) => void socket.resume());
    const started = performance.now();
    assert.deepEqual(await post(place.url), { kind: 'unanswered', error: 'It did not answer in time.' });
    const took = performance.now() - started;
    assert.ok(took >= TIMEOUT_MS - 50 && took < TIMEOUT_MS + 1000, String(took));
  });

  it('is not held up by an answer that drips in', async () => {
    await using place = await tcp((socket) => {
      socket.resume();
      socket.write('HTTP/1.1 200 OK\r\nX: ');
      const drip = setInterval(() => socket.write('a'), 20);
      socket.on('close', () => clearInterval(drip));
    });
    const started = performance.now();
    assert.deepEqual(await post(place.url), { kind: 'unanswered', error: 'It did not answer in time.' });
    assert.ok(performance.now() - started < TIMEOUT_MS + 1000);
  });

  it('is not held up by interim answers without an end', async () => {
    await using place = await tcp((socket) => {
      socket.resume();
      const drip = setInterval(() => socket.write('HTTP/1.1 102 Processing\r\n\r\n'), 20);
      socket.on('close', () => clearInterval(drip));
    });
    assert.equal((await post(place.url)).kind, 'unanswered');
  });

  it('knows nothing of one that takes the request and hangs up', async () => {
    await using place = await tcp((socket) => void socket.once('data', () => socket.end()));
    assert.equal((await post(place.url)).kind, 'unanswered');
  });

  it('knows nothing of what is no answer', async () => {
    await using place = await tcp((socket) => void socket.once('data', () => socket.end('SSH-2.0-x\r\n')));
    assert.equal((await post(place.url)).kind, 'unanswered');
  });

  it('has sent nothing to one that does not listen', async () => {
    const place = await tcp(() => undefined);
    await place[Symbol.asyncDispose]();
    const result = await post(place.url);
    assert.equal(result.kind, 'not_sent');
    assert.match(JSON.stringify(result), /ECONNREFUSED/);
  });

  it('has sent nothing to one that speaks no TLS', async () => {
    await using place = await tcp((socket) => void socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')));
    const result = await post(place.url.replace('http:', 'https:'));
    assert.equal(result.kind, 'not_sent');
    assert.match(JSON.stringify(result), /secure connection failed/);
  });

  it('has sent nothing to one that never finishes the TLS handshake', async () => {
    await using place = await tcp((socket) => void socket.resume());
    assert.deepEqual(await post(place.url.replace('http:', 'https:')), {
      kind: 'not_sent',
      error: `It could not be reached within ${TIMEOUT_MS / 1000} seconds.`,
    });
    await waitFor(() => place.open() === 0, { timeoutMs: 2000, what: 'the connection to be closed' });
  });

  it('does not go to private addresses, by number or by name, unless that is allowed', async () => {
    let connections = 0;
    await using place = await tcp((socket) => {
      connections++;
      socket.destroy();
    });
    const { port } = new URL(place.url);
    const refused = async (url: string, resolve?: string, allowPrivateNetwork = false) => {
      const result = await post(url, { allowPrivateNetwork, ...(resolve === undefined ? {} : { resolve }) });
      assert.equal(result.kind, 'not_sent');
      assert.match(JSON.stringify(result), /private, local or reserved/, url);
    };
    for (const host of ['127.0.0.1', '2130706433', '[::1]', '[::ffff:127.0.0.1]', '10.0.0.1', '169.254.169.254'])
      await refused(`http://${host}:${port}/`);
    await refused(`http://receiver.example:${port}/`, '127.0.0.1');
    // Metadata services stay out of reach even for those who may use the private network.
    for (const address of ['169.254.169.254', '::ffff:169.254.169.254', 'fd00:ec2::254', 'fe80::1'])
      await refused(`http://receiver.example:${port}/`, address, true);
    assert.equal(connections, 0);
  });

  it('can be called off at any time', async () => {
    await using place = await tcp((socket) => void socket.resume());
    const stop = new AbortController();
    const sending = post(place.url, { signal: stop.signal });
    await waitFor(() => place.open() === 1, { timeoutMs: 2000, what: 'the connection' });
    stop.abort();
    assert.deepEqual(await sending, { kind: 'aborted' });
    assert.deepEqual(await post(place.url, { signal: AbortSignal.abort() }), { kind: 'aborted' });
    await waitFor(() => place.open() === 0, { timeoutMs: 2000, what: 'the connection to be closed' });
  });
});
