import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { startForwarder } from './forwarder.ts';

const PRELOAD = path.join(import.meta.dirname, 'preload.ts');
const SUPERVISOR = path.join(import.meta.dirname, '..', 'supervisor', 'main.ts');

/** A gateway that answers what it was told once the client has said all, backwards. */
async function setup(onConnection: (socket: Socket) => void = answerBackwards) {
  const directory = mkdtempSync(path.join(tmpdir(), 'forwarder-'));
  const socketPath = path.join(directory, 'gateway.sock');
  const server = createServer({ allowHalfOpen: true }, onConnection);
  server.listen(socketPath);
  await once(server, 'listening');
  const cleanup = async () => {
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true, force: true });
  };
  return { directory, socketPath, [Symbol.asyncDispose]: cleanup };
}

function answerBackwards(socket: Socket): void {
  // The client may have left before the answer.
  socket.on('error', () => undefined);
  void text(socket).then((said) => socket.end(said.split('').reverse().join('')));
}

async function say(port: number, words: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.end(words);
  return await text(socket);
}

test('a client that has ended its half still gets the answer', async () => {
  await using gateway = await setup();
  const forwarder = await startForwarder({ port: 0, socketPath: gateway.socketPath });
  assert.equal(await say(forwarder.port, 'abc'), 'cba');
  const large = 'x'.repeat(500_000);
  assert.equal((await say(forwarder.port, large)).length, large.length);
  forwarder.close();
});

test('a client that hangs up is hung up upstream', async () => {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  await using gateway = await setup((socket) => {
    socket
      .on('error', () => undefined)
      .on('end', () => {
        socket.destroy();
        resolve();
      });
    socket.resume().write('hello');
  });
  const forwarder = await startForwarder({ port: 0, socketPath: gateway.socketPath });
  const client = connect(forwarder.port, '127.0.0.1');
  await once(client, 'data');
  client.resetAndDestroy();
  await ended;
  forwarder.close();
});

test('a gateway that is not there answers 502 and says so', async () => {
  const forwarder = await startForwarder({ port: 0, socketPath: '/nowhere/gateway.sock' });
  const answer = await say(forwarder.port, 'GET / HTTP/1.1\r\n\r\n');
  assert.match(answer, /^HTTP\/1\.1 502 .*gateway_unreachable.*ENOENT/s);
  forwarder.close();
});

async function run(args: readonly string[], env: NodeJS.ProcessEnv) {
  const child = spawn(process.execPath, args, { env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', 'pipe', 'inherit'] });
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  return { output, code: Number(code) };
}

async function freePort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return String(typeof address === 'object' ? address?.port : '');
}

test('preloaded, it listens before the program starts, and not again in its children and threads', async () => {
  await using gateway = await setup();
  const program = path.join(gateway.directory, 'program.mjs');
  writeFileSync(
    program,
    `import { fork } from 'node:child_process'; import { once } from 'node:events'; import { connect } from 'node:net'; import { Worker, isMainThread } from 'node:worker_threads';
     if (isMainThread && process.argv[2] === undefined) {
       const socket = connect({ port: Number(process.env.CLOISTER_GATEWAY_PORT), host: '127.0.0.1', allowHalfOpen: true }).end('abc');
       const [answer] = await once(socket, 'data');
       const [childCode] = await once(fork(process.argv[1], ['child']), 'exit');
       const [threadCode] = await once(new Worker(process.argv[1]), 'exit');
       console.log(String(answer), childCode, threadCode);
     }`,
  );
  const env = { CLOISTER_GATEWAY_PORT: await freePort(), CLOISTER_GATEWAY_SOCKET: gateway.socketPath };
  assert.deepEqual(await run(['--import', PRELOAD, program], env), { output: 'cba 0 0\n', code: 0 });
});

test('the supervisor forwards for a command, passes signals on and ends as it ends', async () => {
  await using gateway = await setup();
  const env = { CLOISTER_GATEWAY_PORT: await freePort(), CLOISTER_GATEWAY_SOCKET: gateway.socketPath };
  const supervise = (script: string) => run([SUPERVISOR, '--', '/bin/bash', '-c', script], env);
  const ask = 'exec 3<>/dev/tcp/127.0.0.1/$CLOISTER_GATEWAY_PORT; echo GET >&3; kill -0 $PPID && echo up; exit 7';
  assert.deepEqual(await supervise(ask), { output: 'up\n', code: 7 });
  assert.equal((await supervise('kill -TERM $PPID; sleep 5')).code, 128 + 15);
  assert.equal((await run([SUPERVISOR, '--', '/nowhere/program'], env)).code, 127);
  assert.equal((await run([SUPERVISOR], env)).code, 64);
});
