import assert from 'node:assert/strict';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { ask, type BenchOptions, openBench, rawConnection, waitFor } from '../../test/support/egress-bench.ts';
import { systemClock } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import { isDeniedAddress } from './addresses.ts';
import { type Dialer, dial } from './dial.ts';
import { DEFAULT_LIMITS } from './limits.ts';

let echo: Server;
let web: Server;
let connects = 0;

before(async () => {
  echo = createServer((socket) => {
    connects++;
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  });
  web = createHttpServer((request, response) => {
    connects++;
    request.resume();
    response
      .writeHead(200, {
        'x-seen': `${request.method} ${request.url} ${request.headers.host} ${request.headers['proxy-authorization'] ?? 'clean'}`,
      })
      .end('hello');
  });
  for (const server of [echo, web]) await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
after(() => {
  echo.close();
  web.close();
});

function portOf(server: Server): number {
  // As: a server that listens on TCP has an address of this form.
  return (server.address() as AddressInfo).port;
}

function toLoopback(hosts: readonly string[]): BenchOptions {
  return { network: { allowedHosts: hosts }, resolve: async () => ['127.0.0.1'], allowPrivateAddresses: true };
}

describe('CONNECT', () => {
  test('opens a tunnel to an allowed host, bytes both ways, and both ends close together', async () => {
    const port = portOf(echo);
    await using bench = await openBench(toLoopback([`tools.example:${port}`]));
    const { socket, received } = rawConnection(bench.socketPath);
    // The first bytes come right behind the request, as a client may send them.
    socket.write(`CONNECT tools.example:${port} HTTP/1.1\r\nhost: tools.example\r\n\r\nping`);
    await waitFor('the echo', () => received().endsWith('\r\n\r\nping'));
    assert.match(received(), /^HTTP\/1\.1 200 /);
    const big = 'x'.repeat(1_000_000);
    socket.write(big);
    await waitFor('all of it', () => received().length > big.length);
    socket.end();
    await waitFor('the end', () => socket.destroyed || socket.readableEnded);
  });

  test('refuses a host or port that is not allowed, without resolving its name', async () => {
    let resolved = 0;
    const resolve = async () => {
      resolved++;
      return ['127.0.0.1'];
    };
    await using bench = await openBench({ network: { allowedHosts: ['tools.example'] }, resolve, allowPrivateAddresses: true });
    for (const authority of ['other.example:443', 'tools.example:22', 'sub.tools.example:443']) {
      const { socket, received } = rawConnection(bench.socketPath);
      socket.write(`CONNECT ${authority} HTTP/1.1\r\nhost: x\r\n\r\n`);
      await waitFor('the refusal', () => socket.readableEnded || socket.destroyed);
      assert.match(received(), /^HTTP\/1\.1 403 /);
      const body = JSON.parse(received().split('\r\n\r\n')[1] ?? '');
      assert.deepEqual([body.code, body.status, typeof body.fix], ['egress_denied', 403, 'string']);
    }
    assert.equal(resolved, 0);
  });

  test('an empty list allows nothing', async () => {
    await using bench = await openBench({ resolve: async () => ['127.0.0.1'], allowPrivateAddresses: true });
    const { socket, received } = rawConnection(bench.socketPath);
    socket.write('CONNECT tools.example:443 HTTP/1.1\r\nhost: x\r\n\r\n');
    await waitFor('the refusal', () => received().includes('egress_denied'));
    socket.destroy();
  });

  test('says so when the host cannot be reached or its name does not resolve', async () => {
    const closed = createServer();
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
    const port = portOf(closed);
    await new Promise((resolve) => closed.close(resolve));
    const resolve = async (host: string) => {
      if (host === 'tools.example') return ['127.0.0.1'];
      throw new Error('no such name');
    };
    const network = { allowedHosts: [`tools.example:${port}`, 'nowhere.example'] };
    await using bench = await openBench({ network, resolve, allowPrivateAddresses: true });
    for (const [authority, why] of [
      [`tools.example:${port}`, 'ECONNREFUSED'],
      ['nowhere.example:443', 'does not resolve'],
    ]) {
      const { socket, received } = rawConnection(bench.socketPath);
      socket.write(`CONNECT ${authority} HTTP/1.1\r\nhost: x\r\n\r\n`);
      await waitFor('the answer', () => socket.readableEnded || socket.destroyed);
      assert.match(received(), /^HTTP\/1\.1 502 /);
      assert.match(received(), new RegExp(`${why}.*egress_unreachable`));
    }
  });

  test('an idle tunnel ends, and no more are open at a time than allowed', async () => {
    const port = portOf(echo);
    const limits = { ...DEFAULT_LIMITS, tunnel: { max: 1, idleMs: 150, totalMs: 60_000 } };
    await using bench = await openBench({ ...toLoopback([`tools.example:${port}`]), limits });
    const request = `CONNECT tools.example:${port} HTTP/1.1\r\nhost: x\r\n\r\n`;
    const first = rawConnection(bench.socketPath);
    first.socket.write(request);
    await waitFor('the tunnel', () => first.received().includes('200'));
    const second = rawConnection(bench.socketPath);
    second.socket.write(request);
    await waitFor('the refusal', () => second.received().includes('capacity_exhausted'));
    await waitFor('the idle end', () => first.socket.readableEnded || first.socket.destroyed);
    first.socket.destroy();
    second.socket.destroy();
  });
});

/** Every way to name this host or its neighbours that a sandbox could think of. */
const SSRF_TARGETS: readonly string[] = [
  'localhost',
  '127.0.0.1',
  '127.1',
  '2130706433',
  '0x7f000001',
  '0x7f.1',
  '0177.0.0.1',
  '017700000001',
  '0.0.0.0',
  '0',
  '127.0.0.1.',
  '127.127.127.127',
  '[::]',
  '[::1]',
  '[::ffff:127.0.0.1]',
  '[::ffff:7f00:1]',
  '[0:0:0:0:0:ffff:7f00:0001]',
  '[::127.0.0.1]',
  '[64:ff9b::7f00:1]',
  '[2002:7f00:1::1]',
  '[fe80::1]',
  '[fd00:ec2::254]',
  '169.254.169.254',
  '0xa9fea9fe',
  '2852039166',
  '[::ffff:a9fe:a9fe]',
  '10.0.0.1',
  '172.17.0.1',
  '192.168.1.1',
  '100.100.100.200',
  '168.63.129.16',
  'rebind.example',
  'ⓛocalhost',
  'ｌｏｃａｌｈｏｓｔ',
  '①②⑦.0.0.1',
  '127。0。0。1',
];

test('no form of a local address is dialled, even when the list names it', async () => {
  const ports = [portOf(echo), portOf(web)];
  const allowedHosts = SSRF_TARGETS.flatMap((host) => ports.map((port) => `${host}:${port}`));
  await using bench = await openBench({ network: { allowedHosts }, resolve: async () => ['127.0.0.1'] });
  const before = connects;
  for (const host of SSRF_TARGETS) {
    for (const port of ports) {
      const { socket, received } = rawConnection(bench.socketPath);
      socket.write(`CONNECT ${Buffer.from(host, 'utf8').toString('latin1')}:${port} HTTP/1.1\r\nhost: x\r\n\r\n`, 'latin1');
      await waitFor(`an answer for ${host}`, () => socket.readableEnded || socket.destroyed);
      assert.match(received(), /^HTTP\/1\.1 (403|400) /, host);
    }
    const ascii = new URL(`http://${host}`).host;
    const reply = await ask(bench.socketPath, { method: 'GET', path: `http://${ascii}:${ports[1]}/` });
    assert.ok([400, 403].includes(reply.status), `${host} answered ${reply.status}`);
  }
  assert.equal(connects, before);
});

describe('dial', () => {
  const open: string[] = [];
  const recorder = (address: string): Socket => {
    open.push(address);
    const socket = new Socket();
    setImmediate(() => socket.emit('connect'));
    return socket;
  };
  const dialer = (resolve: Dialer['resolve']): Dialer => ({
    resolve,
    isDenied: isDeniedAddress,
    clock: systemClock,
    timeoutMs: 5_000,
    connect: recorder,
  });
  const target = { host: 'rebind.example', port: 443 };

  test('a name that changes its answer is judged by the answer it is dialled with, a thousand times', async () => {
    open.length = 0;
    let asked = 0;
    const alternating = dialer(async () => [asked++ % 2 === 0 ? '1.1.1.1' : '127.0.0.1']);
    let denied = 0;
    for (let round = 0; round < 1_000; round++) {
      await dial(alternating, target, new AbortController().signal).then(
        (socket) => socket.destroy(),
        (error: unknown) => {
          assert.ok(isPlatformError(error, 'egress_denied'));
          denied++;
        },
      );
    }
    assert.deepEqual([asked, denied, open.length, new Set(open)], [1_000, 500, 500, new Set(['1.1.1.1'])]);
  });

  test('one denied address among good ones refuses the name', async () => {
    open.length = 0;
    for (const bad of ['10.0.0.1', '::ffff:1.1.1.1', 'fd00::1', 'not-an-address']) {
      await assert.rejects(
        dial(
          dialer(async () => ['1.1.1.1', bad]),
          target,
          new AbortController().signal,
        ),
        (error) => isPlatformError(error, 'egress_denied'),
      );
    }
    assert.deepEqual(open, []);
  });

  test('a resolver or a host that never answers is given up', async () => {
    const never = { ...dialer(() => new Promise(() => undefined)), timeoutMs: 50 };
    await assert.rejects(dial(never, target, new AbortController().signal), (error) => isPlatformError(error, 'egress_unreachable'));
    const sockets: Socket[] = [];
    const connect = () => {
      const socket = new Socket();
      sockets.push(socket);
      return socket;
    };
    const mute = { ...dialer(async () => ['1.1.1.1']), connect, timeoutMs: 50 };
    await assert.rejects(dial(mute, target, new AbortController().signal), (error) => isPlatformError(error, 'egress_unreachable'));
    assert.equal(sockets[0]?.destroyed, true);
  });

  test('the next address is tried when one does not answer', async () => {
    const tried: string[] = [];
    const connect = (address: string) => {
      tried.push(address);
      const socket = new Socket();
      setImmediate(() => (tried.length === 1 ? socket.destroy(new Error('refused')) : socket.emit('connect')));
      return socket;
    };
    const socket = await dial({ ...dialer(async () => ['1.1.1.1', '8.8.8.8']), connect }, target, new AbortController().signal);
    assert.deepEqual(tried, ['1.1.1.1', '8.8.8.8']);
    socket.destroy();
  });
});

describe('plain http through the gateway', () => {
  test('reaches an allowed host as itself, without what speaks to the proxy', async () => {
    const port = portOf(web);
    await using bench = await openBench(toLoopback([`tools.example:${port}`]));
    const headers = { 'proxy-authorization': 'Basic eA==', host: 'other.example' };
    const reply = await ask(bench.socketPath, { method: 'GET', path: `http://tools.example:${port}/a?b=c`, headers });
    assert.deepEqual([reply.status, await reply.text()], [200, 'hello']);
    assert.equal(reply.headers['x-seen'], `GET /a?b=c tools.example:${port} clean`);
  });

  test('refuses other hosts, other schemes and hidden users', async () => {
    const port = portOf(web);
    await using bench = await openBench(toLoopback([`tools.example:${port}`]));
    const before = connects;
    for (const path of [
      `http://other.example:${port}/`,
      `https://tools.example:${port}/`,
      `http://u:p@tools.example:${port}/`,
      'http://[bad/',
    ]) {
      const reply = await ask(bench.socketPath, { method: 'GET', path });
      assert.ok([400, 403].includes(reply.status), `${path} answered ${reply.status}`);
      assert.match(reply.headers['content-type'] ?? '', /problem\+json/);
    }
    assert.equal(connects, before);
  });
});
