import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { it } from 'node:test';
import { startTcpProxy } from './tcp-proxy.ts';

/** A server that sends back what it gets. */
async function startEcho(): Promise<{ readonly port: number } & AsyncDisposable> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return { port: address.port, [Symbol.asyncDispose]: async () => void server.close() };
}

async function open(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}

async function echo(socket: Socket, text: string): Promise<string> {
  socket.write(text);
  const [data] = await once(socket, 'data', { signal: AbortSignal.timeout(1000) });
  return String(data);
}

it('passes, swallows for good, and passes what comes later', async () => {
  await using target = await startEcho();
  await using proxy = await startTcpProxy({ host: '127.0.0.1', port: target.port });
  const first = await open(proxy.port);
  assert.equal(await echo(first, 'one'), 'one');
  proxy.set('blackhole');
  let isClosed = false;
  first.on('close', () => {
    isClosed = true;
  });
  await assert.rejects(echo(first, 'two'), { name: 'AbortError' });
  proxy.set('pass');
  await assert.rejects(echo(first, 'three'), { name: 'AbortError' });
  assert.equal(isClosed, false, 'nobody is told');
  const second = await open(proxy.port);
  assert.equal(await echo(second, 'four'), 'four');
  first.destroy();
  second.destroy();
});

it('delays, and cuts with a reset', async () => {
  await using target = await startEcho();
  await using proxy = await startTcpProxy({ host: '127.0.0.1', port: target.port });
  const socket = await open(proxy.port);
  proxy.delay(50);
  const began = performance.now();
  assert.equal(await echo(socket, 'late'), 'late');
  assert.ok(performance.now() - began >= 95, 'both ways');
  const reset = once(socket, 'error');
  proxy.cut();
  const [error] = await reset;
  assert.equal(error.code, 'ECONNRESET');
  proxy.set('refuse');
  const refused = connect(proxy.port, '127.0.0.1');
  const [reason] = await once(refused, 'error');
  assert.equal(reason.code, 'ECONNRESET');
});
