import assert from 'node:assert/strict';
import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { ask, type Bench, type BenchOptions, openBench, rawConnection, waitFor } from '../../test/support/egress-bench.ts';
import type { PolicyFollower } from './gateway.ts';
import { DEFAULT_LIMITS } from './limits.ts';

let echo: Server;
let web: Server;
const seen: { readonly request: IncomingMessage; readonly body: string }[] = [];

before(async () => {
  echo = createTcpServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  });
  web = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      seen.push({ request, body: Buffer.concat(chunks).toString() });
      response.end('x'.repeat(Number(request.headers['x-want'] ?? 2)));
    });
  });
  for (const server of [echo, web]) await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
after(() => {
  echo.close();
  web.close();
});

// As: a server that listens on TCP has an address of this form.
const portOf = (server: Server) => (server.address() as AddressInfo).port;
const host = (server: Server) => `tools.example:${portOf(server)}`;

function toLoopback(options: BenchOptions): BenchOptions {
  return { resolve: async () => ['127.0.0.1'], allowPrivateAddresses: true, ...options };
}

/** Opens a tunnel to the echo server, with the answer to its first bytes. */
async function openTunnel(bench: Bench) {
  const connection = rawConnection(bench.socketPath);
  connection.socket.write(`CONNECT ${host(echo)} HTTP/1.1\r\nhost: x\r\n\r\nping`);
  await waitFor('the tunnel', () => connection.received().endsWith('ping') || connection.received().includes('"code"'));
  return { ...connection, isOver: () => connection.socket.readableEnded || connection.socket.destroyed };
}

async function decisions(bench: Bench) {
  await bench.audit.flush();
  const page = await bench.store.egress.list({ tenantId: 'default', sessionId: 'ses_1', limit: 100, order: 'asc' });
  return page.data;
}

test('a policy that changes holds at once: what it does not allow ends, the rest goes on', async () => {
  const followed: PolicyFollower[] = [];
  const policies = {
    async follow(follower: PolicyFollower) {
      followed.push(follower);
      follower.apply([{ allowedHosts: [host(echo), host(web)] }]);
      return () => undefined;
    },
  };
  const subject = { environmentId: 'env_1', agentId: 'agt_1' };
  await using bench = await openBench(toLoopback({ policies, subject }));
  const tunnel = await openTunnel(bench);
  assert.match(tunnel.received(), /^HTTP\/1\.1 200 /);
  followed[0]?.apply([{ allowedHosts: [host(echo)] }]);
  tunnel.socket.write('still');
  await waitFor('the echo', () => tunnel.received().endsWith('still'));
  assert.equal((await ask(bench.socketPath, { method: 'GET', path: `http://${host(web)}/` })).status, 403);
  followed[0]?.apply([{ allowedHosts: [host(echo)] }, { allowedHosts: [host(web)] }]);
  await waitFor('the end of the tunnel', tunnel.isOver);
  assert.match((await openTunnel(bench)).received(), /egress_denied/);
  const kept = await decisions(bench);
  assert.deepEqual(
    kept.map(({ way, method, outcome, reason, ending, bytesUp }) => [way, method, outcome, reason, ending, bytesUp]),
    [
      ['tunnel', 'CONNECT', 'allowed', 'listed', 'policy', 9],
      ['plain', 'GET', 'denied', 'not_listed', null, 0],
      ['tunnel', 'CONNECT', 'denied', 'not_listed', null, 0],
    ],
  );
});

describe('budgets', () => {
  test('bytes: the connection ends, the next is refused with the reason, and a new turn has its own share', async () => {
    const limits = { ...DEFAULT_LIMITS, turn: { requests: undefined, bytes: 5000 } };
    await using bench = await openBench(toLoopback({ network: { allowedHosts: [host(echo)] }, limits }));
    const tunnel = await openTunnel(bench);
    tunnel.socket.write('x'.repeat(100_000));
    await waitFor('the end of the tunnel', tunnel.isOver);
    assert.match((await openTunnel(bench)).received(), /^HTTP\/1\.1 403 .*egress_budget_exhausted/s);
    bench.connection.beginTurn();
    assert.match((await openTunnel(bench)).received(), /^HTTP\/1\.1 200 /);
    const kept = await decisions(bench);
    assert.deepEqual(
      kept.map(({ reason, ending }) => [reason, ending]),
      [
        ['listed', 'byte_budget'],
        ['byte_budget', null],
        ['listed', null],
      ],
    );
  });

  test('requests of a session count over its sandboxes', async () => {
    const limits = { ...DEFAULT_LIMITS, session: { requests: 3, bytes: undefined } };
    await using bench = await openBench(toLoopback({ network: { allowedHosts: [host(web)] }, limits }));
    const get = async () => (await ask(bench.socketPath, { method: 'GET', path: `http://${host(web)}/` })).status;
    assert.deepEqual([await get(), await get()], [200, 200]);
    await bench.reopen();
    assert.deepEqual([await get(), await get()], [200, 403]);
    assert.equal((await bench.audit.usage({ tenantId: 'default', sessionId: 'ses_1' })).requests, 3);
  });

  test('a sandbox that asks too often is told to wait, and its refusals make one record', async () => {
    const limits = { ...DEFAULT_LIMITS, requestsPerSecond: 1 };
    await using bench = await openBench(toLoopback({ limits }));
    const statuses: number[] = [];
    for (let times = 0; times < 40; times++) {
      statuses.push((await ask(bench.socketPath, { method: 'GET', path: `http://${host(web)}/?secret=${times}` })).status);
    }
    assert.deepEqual(statuses.slice(0, 4), [403, 403, 403, 403]);
    assert.ok(statuses.includes(429));
    const kept = await decisions(bench);
    assert.equal(
      kept.reduce((sum, { times }) => sum + times, 0),
      40,
    );
    assert.ok(kept.length < 40);
    assert.doesNotMatch(JSON.stringify(kept), /secret/);
  });

  test('a connection is over after its whole time, however busy it is', async () => {
    const limits = { ...DEFAULT_LIMITS, tunnel: { ...DEFAULT_LIMITS.tunnel, totalMs: 200 } };
    await using bench = await openBench(toLoopback({ network: { allowedHosts: [host(echo)] }, limits }));
    const tunnel = await openTunnel(bench);
    await waitFor('the end of the tunnel', () => {
      if (!tunnel.socket.destroyed) tunnel.socket.write('x');
      return tunnel.isOver();
    });
    assert.equal((await decisions(bench))[0]?.ending, 'total_time');
  });
});

describe('plain requests', () => {
  const rules = () => [{ host: host(web), methods: ['GET', 'POST'], paths: ['/open'] }];

  test('only the methods and paths of the rules get through', async () => {
    await using bench = await openBench(toLoopback({ network: { allowedHosts: [], rules: rules() } }));
    const statusOf = async (method: string, path: string) =>
      (await ask(bench.socketPath, { method, path: `http://${host(web)}${path}` })).status;
    assert.deepEqual(
      [
        await statusOf('GET', '/open/a?q=1'),
        await statusOf('POST', '/open'),
        await statusOf('DELETE', '/open'),
        await statusOf('GET', '/closed'),
        await statusOf('GET', '/open/../closed'),
        await statusOf('GET', '/open/%2e%2e/closed'),
      ],
      [200, 200, 403, 403, 403, 403],
    );
  });

  test('a body never becomes a request of its own', async () => {
    await using bench = await openBench(toLoopback({ network: { allowedHosts: [], rules: rules() } }));
    const hidden = 'GET /closed HTTP/1.1\r\nhost: x\r\n\r\n';
    const send = async (head: string, body: string) => {
      const { socket, received } = rawConnection(bench.socketPath);
      socket.write(`${head}\r\nhost: x\r\nconnection: close\r\n\r\n${body}`);
      await waitFor('the answer', () => socket.readableEnded || socket.destroyed);
      return received().split(' ')[1];
    };
    seen.length = 0;
    const start = (method: string) => `${method} http://${host(web)}/open HTTP/1.1`;
    const chunk = `${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`;
    assert.equal(await send(`${start('GET')}\r\ntransfer-encoding: chunked`, chunk), '200');
    assert.deepEqual([seen.length, seen[0]?.request.url, seen[0]?.body], [1, '/open', hidden]);
    for (const [head, body] of [
      [`${start('POST')}\r\ncontent-length: 5\r\ntransfer-encoding: chunked`, chunk],
      [`${start('POST')}\r\ntransfer-encoding: chunked\r\ncontent-length: 5`, chunk],
      [`${start('POST')}\r\ncontent-length: 5\r\ncontent-length: 6`, hidden],
      [`${start('POST')}\r\ntransfer-encoding: gzip, chunked`, chunk],
      [`${start('POST')}\r\ntransfer-encoding: chunked, identity`, chunk],
      [`${start('POST')}\r\ntransfer-encoding : chunked`, chunk],
      [`${start('GET')}\r\nupgrade: websocket\r\nconnection: upgrade`, ''],
    ] as const) {
      assert.equal(await send(head, body), '400', head);
    }
    assert.equal(seen.length, 1);
  });

  test('one connection serves many requests, refused ones between them', async () => {
    await using bench = await openBench(toLoopback({ network: { allowedHosts: [], rules: rules() } }));
    const { socket, received } = rawConnection(bench.socketPath);
    for (const path of ['/open', '/closed', '/open']) socket.write(`GET http://${host(web)}${path} HTTP/1.1\r\nhost: x\r\n\r\n`);
    await waitFor('three answers', () => received().split('HTTP/1.1 ').length === 4);
    assert.deepEqual(
      [...received().matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => match[1]),
      ['200', '403', '200'],
    );
    socket.destroy();
  });
});
