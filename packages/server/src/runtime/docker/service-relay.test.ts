import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { freePort } from '../../../../../test/support/free-port.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import { RELAY_PROGRAM } from './service-relay-program.ts';

/** Both relays as the containers run them, one behind the other, in front of a server of the test's. */
describe('the relays of a port', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'cloister-relay-'));
  const socket = path.join(folder, 'port.sock');
  const relays: ChildProcess[] = [];
  const server = net.createServer({ allowHalfOpen: true });
  let port = 0;

  before(async () => {
    const inside = await listen(server);
    // One that was killed leaves its socket.
    writeFileSync(socket, '');
    port = await freePort();
    for (const way of [
      [socket, `127.0.0.1:${inside}`],
      [`127.0.0.1:${port}`, socket],
    ])
      relays.push(spawn(process.execPath, ['--eval', RELAY_PROGRAM, ...way], { stdio: ['ignore', 'ignore', 'inherit'] }));
    const echo = (peer: net.Socket) => void peer.on('error', () => undefined).pipe(peer);
    server.on('connection', echo);
    const isUp = async () => {
      const probe = net.connect(port, '127.0.0.1', () => probe.end('x'));
      probe.on('error', () => undefined);
      const { promise, resolve } = Promise.withResolvers<void>();
      let said = '';
      probe.on('data', (chunk) => (said += String(chunk))).once('close', () => resolve());
      await promise;
      return said === 'x';
    };
    await waitFor(isUp, { timeoutMs: 20_000, what: 'the relays' });
    server.off('connection', echo);
  });
  after(async () => {
    for (const relay of relays) {
      relay.kill('SIGKILL');
      if (relay.exitCode === null && relay.signalCode === null) await once(relay, 'exit');
    }
    server.close();
    rmSync(folder, { recursive: true });
  });

  /** The server's side of the next connection. */
  const accepted = async (): Promise<net.Socket> => {
    const [peer] = (await once(server, 'connection')) as [net.Socket]; // what the event has
    return peer;
  };
  const connect = async (): Promise<readonly [net.Socket, net.Socket]> => {
    const waiting = accepted();
    const client = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    return [client, await waiting];
  };

  it('carry much both ways', async () => {
    const [client, peer] = await connect();
    const bytes = Buffer.alloc(24 * 1024 ** 2, 'ab');
    client.end(bytes);
    peer.pipe(peer);
    let seen = 0;
    for await (const chunk of client) seen += (chunk as Buffer).length; // a socket without an encoding gives buffers
    assert.equal(seen, bytes.length);
    client.destroy();
  });

  it('leave one direction open when the other has ended', async () => {
    const [client, peer] = await connect();
    client.end('question');
    const heard: Buffer[] = [];
    for await (const chunk of peer.iterator({ destroyOnReturn: false })) heard.push(chunk as Buffer); // as above
    assert.equal(Buffer.concat(heard).toString(), 'question');
    peer.end('answer');
    let said = '';
    for await (const chunk of client) said += String(chunk);
    assert.equal(said, 'answer');
    client.destroy();
  });

  it('end the client with the server, and the server with the client', async () => {
    const [client, peer] = await connect();
    client.write('x');
    await once(peer, 'data');
    const gone = Promise.withResolvers<void>();
    client.on('error', () => undefined).once('close', () => gone.resolve());
    client.once('end', () => client.end());
    client.resume();
    peer.resetAndDestroy();
    await gone.promise;
    const [other, its] = await connect();
    other.write('x');
    await once(its, 'data');
    const end = Promise.withResolvers<void>();
    its.on('error', () => undefined).once('close', () => end.resolve());
    other.on('error', () => undefined).resetAndDestroy();
    its.once('end', () => its.end());
    await end.promise;
  });

  it('refuse nobody for good: a server that is away is there again later', async () => {
    const address = server.address();
    const inside = typeof address === 'object' && address !== null ? address.port : 0;
    await new Promise((resolve) => server.close(resolve));
    const early = net.connect({ port, host: '127.0.0.1' });
    early.resume();
    const { promise, resolve } = Promise.withResolvers<void>();
    early.on('error', () => undefined).once('close', () => resolve());
    await promise;
    await listen(server, inside);
    const [client, peer] = await connect();
    peer.end('back');
    client.end();
    let said = '';
    for await (const chunk of client) said += String(chunk);
    assert.equal(said, 'back');
  });
});

async function listen(server: net.Server, port = 0): Promise<number> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return address.port;
}
