import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import { after, before, describe, it } from 'node:test';
import { createSseParser } from '@cloister/api';
import { systemClock } from '../../src/base/clock.ts';
import { createEngine, type Engine } from '../../src/runtime/docker/engine.ts';
import { testEngine } from '../../src/runtime/docker/test-engine.ts';
import type { Wire } from '../support/server.ts';
import { ADMIN_KEY, type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

const docker = await testEngine();

/** Answers, tells its callback token's length, tries to get out, and ends when asked to. */
const PROGRAM = `
const http = require('http'), net = require('net'), fs = require('fs'), dgram = require('dgram');
console.log('begun');
const reach = (host, port) => new Promise((done) => {
  const socket = net.connect({ host, port, timeout: 1500 });
  socket.on('connect', () => { socket.destroy(); done('reached'); });
  for (const name of ['error', 'timeout']) socket.on(name, () => { socket.destroy(); done('not reached'); });
});
http.createServer(async (request, response) => {
  if (request.url === '/exit') process.exit(7);
  if (request.url.startsWith('/try/')) {
    const [host, port] = request.url.slice(5).split(':');
    const cards = fs.readFileSync('/proc/net/dev', 'utf8').split('\\n').slice(2, -1).map((line) => line.trim().split(':')[0]);
    const socket = dgram.createSocket('udp4');
    const sent = await new Promise((done) => socket.send('x', Number(port), host, (error) => done(error ? error.code : 'sent')));
    socket.close();
    response.end(JSON.stringify({ tcp: await reach(host, Number(port)), udp: sent, cards }));
  }
  else if (request.url === '/out') response.end(JSON.stringify([await reach('1.1.1.1', 443), await reach('169.254.169.254', 80)]));
  else if (request.url.startsWith('/via/')) {
    const path = 'http://' + request.url.slice(5) + '/';
    http.get({ host: '127.0.0.1', port: 8787, path, headers: { host: request.url.slice(5) } }, (answer) => { answer.resume(); response.end(String(answer.statusCode)); })
      .on('error', (error) => response.end(error.code));
  }
  else if (request.url === '/who') response.end(JSON.stringify({
    uid: process.getuid(), rights: /CapBnd:\\s*(\\w+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1], token: fs.readFileSync('/run/cloister/callback-token', 'utf8').length, kept: fs.existsSync('/data/kept'),
    env: Object.keys(process.env).filter((name) => /TOKEN/.test(name)) }));
  else if (request.url === '/tell') {
    const authorization = 'Bearer ' + fs.readFileSync('/run/cloister/callback-token', 'utf8');
    const call = http.request({ socketPath: '/run/cloister/callback.sock', path: '/callback', method: 'POST', headers: { authorization } });
    call.on('response', (answer) => response.end(String(answer.statusCode))).on('error', (error) => response.end(error.code));
    call.end(JSON.stringify({ status: 'busy', progress: 0.25 }));
  }
  else if (request.url === '/keep') { fs.writeFileSync('/data/kept', 'x'); response.end('ok'); }
  else if (request.url === '/write') { try { fs.writeFileSync('/usr/x', 'x'); response.end('written'); } catch (error) { response.end(error.code); } }
  else response.end('ok');
}).listen(8080);
`;

interface Surroundings {
  readonly env: Readonly<Record<string, string>>;
  /** Of the engine, where it is not the usual one. */
  readonly endpoint?: string;
  readonly close: () => Promise<void>;
}

export interface ServicesSuite {
  readonly name: string;
  /** Of its own, as several suites may run at once. */
  readonly ports: string;
  /** Made before the server, and ended after it; its settings are the server's too. */
  readonly around?: () => Promise<Surroundings>;
  /** What says nothing about what is around, and takes long. */
  readonly without?: RegExp;
}

/** Services as a user has them, by a server of its own on a real engine. */
export function servicesSuite({ name, ports, around, without }: ServicesSuite): void {
  describe(name, { skip: docker.ok ? false : docker.reason, timeout: 240_000 }, () => suite(ports, around, without));
}

function suite(ports: string, around: ServicesSuite['around'], without: RegExp | undefined): void {
  let engine: Engine;
  const test = (title: string, body: () => Promise<void>) => (without?.test(title) === true ? undefined : void it(title, body));
  let server: ServerProcess;
  let surroundings: Surroundings | undefined;
  before(async () => {
    surroundings = await around?.();
    engine = createEngine({ endpoint: surroundings?.endpoint, runtimeDir: undefined, clock: systemClock });
    await engine.address();
    server = await startServerProcess({
      env: {
        CLOISTER_RUNTIME: 'docker',
        // No session is run here, so any image will do for them.
        ...(docker.ok ? { CLOISTER_SANDBOX_IMAGE: docker.image } : {}),
        SERVICE_PORTS: ports,
        SERVICE_HEALTH_SECONDS: '1',
        EGRESS_ALLOW_PRIVATE: '127.0.0.0/8',
        CLOISTER_ALLOW_UNRESTRICTED_NETWORK: 'true',
        SERVICE_RESTART_SECONDS: '0.2',
        LEASE_SECONDS: '6',
        HEARTBEAT_SECONDS: '2',
        ...surroundings?.env,
      },
    });
  });
  after(async () => {
    // An engine that is told to end waits for its connections.
    engine?.close();
    await server?.[Symbol.asyncDispose]();
    await surroundings?.close();
  });

  const ask = async (method: string, route: string, body?: object): Promise<{ status: number; body: Wire }> => {
    const response = await fetch(`${server.url}/v1/services${route}`, {
      method,
      headers: { 'x-api-key': ADMIN_KEY, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: await response.json() };
  };
  const create = async (more: object = {}): Promise<Wire> => {
    const image = docker.ok ? docker.image : '';
    const { status, body } = await ask('POST', '', { name: 'agent', image, command: ['node', '-e', PROGRAM], memory: '128m', ...more });
    assert.equal(status, 202, JSON.stringify(body));
    return body;
  };
  const until = (id: string, what: string, is: (service: Wire) => boolean): Promise<Wire> =>
    waitFor(
      async () => {
        const { body } = await ask('GET', `/${id}`);
        return is(body) ? body : undefined;
      },
      { timeoutMs: 60_000, what },
    ).catch(async (error: unknown) => {
      const { data } = (await ask('GET', `/${id}/events?order=asc&limit=100`)).body;
      throw new Error(`its events: ${JSON.stringify(data)}`, { cause: error });
    });
  const untilHealthy = (id: string, after = '') =>
    until(id, 'health', ({ state, health, started_at }) => state === 'running' && health === 'healthy' && started_at > after);
  const inside = async (service: Wire, route: string): Promise<Wire> => (await fetch(`${service.url}${route}`)).json();
  const found = async (id: string, what: 'containers' | 'networks'): Promise<Wire[]> => {
    const filters = JSON.stringify({ label: [`cloister.service=${id}`] });
    const path = what === 'containers' ? '/containers/json' : '/networks';
    return (await engine.call({ method: 'GET', path, query: { filters, ...(what === 'containers' ? { all: 1 } : {}) } })).body as Wire[];
  };
  /** Its own, without the relays of its port. */
  const own = async (id: string): Promise<Wire[]> =>
    (await found(id, 'containers')).filter((one) => one.Labels['cloister.relay'] === undefined);
  const relays = async (id: string): Promise<Wire[]> =>
    (await found(id, 'containers')).filter((one) => one.Labels['cloister.relay'] !== undefined);
  const remove = async (id: string) => {
    assert.equal((await ask('DELETE', `/${id}`)).status, 202);
    await waitFor(async () => (await ask('GET', `/${id}`)).status === 404, { timeoutMs: 60_000, what: 'the end' });
    assert.deepEqual([await found(id, 'containers'), await found(id, 'networks')], [[], []]);
  };
  const frames = async (route: string, is: (data: Wire) => boolean): Promise<Wire> => {
    const abort = new AbortController();
    const response = await fetch(`${server.url}/v1/services${route}`, { headers: { 'x-api-key': ADMIN_KEY }, signal: abort.signal });
    const parser = createSseParser();
    const decoder = new TextDecoder();
    try {
      for await (const chunk of response.body ?? [])
        for (const { data } of parser.push(decoder.decode(chunk, { stream: true }))) if (is(JSON.parse(data))) return JSON.parse(data);
      throw new Error('the stream ended');
    } finally {
      abort.abort();
    }
  };

  test('run hardened behind a port of the loopback, reach nothing, and stream what they do', async () => {
    const { id } = await create();
    const service = await untilHealthy(id);
    assert.match(service.url, /^http:\/\/127\.0\.0\.1:19[45]\d\d$/);
    assert.deepEqual(await inside(service, '/out'), ['not reached', 'not reached']);
    assert.deepEqual(await inside(service, '/who'), { uid: 1000, rights: '0000000000000000', token: 48, kept: false, env: [] });
    assert.equal(await (await fetch(`${service.url}/write`)).text(), 'EROFS');
    // The socket is there a moment after the container is.
    await waitFor(async () => (await (await fetch(`${service.url}/tell`)).text()) === '200', { timeoutMs: 20_000, what: 'the callback' });
    assert.deepEqual(
      [(await ask('GET', `/${id}`)).body.reported.status, (await ask('GET', `/${id}`)).body.reported.progress],
      ['busy', 0.25],
    );
    const [container] = await own(id);
    const { body } = await engine.call({ method: 'GET', path: `/containers/${container.Id}/json` });
    const { HostConfig: host } = body as Wire;
    assert.deepEqual([host.ReadonlyRootfs, host.Privileged, host.RestartPolicy.Name], [true, false, 'no']);
    assert.deepEqual([host.Memory, host.PidsLimit, host.PortBindings ?? {}], [128 * 1024 ** 2, 256, {}]);
    assert.equal((await frames(`/${id}/logs?follow=true&tail=10`, ({ text }) => text === 'begun')).stream, 'stdout');
    const stats = await frames(`/${id}/stats`, ({ memory_bytes }) => memory_bytes > 0);
    assert.ok(stats.memory_limit_bytes === 128 * 1024 ** 2 && stats.pids > 0);
    await frames(`/${id}/stats`, ({ received_bytes, sent_bytes }) => received_bytes > 0 && sent_bytes > 0);
    await remove(id);
  });

  test('have no card by which to try the host, and one that may reach out has', async () => {
    const listener = net.createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => listener.listen(0, '0.0.0.0', resolve));
    const address = listener.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    try {
      const [closed, open] = [await create(), await create({ networking: { type: 'unrestricted' } })];
      const service = await untilHealthy(closed.id);
      const hosts = Object.values(os.networkInterfaces()).flatMap((all) => all ?? []);
      const addresses = hosts.filter(({ family }) => family === 'IPv4').map(({ address }) => address);
      for (const one of addresses) {
        const tried = await inside(service, `/try/${one}:${port}`);
        assert.equal(tried.tcp, 'not reached', one);
        assert.deepEqual(tried.cards, ['lo']);
        if (!one.startsWith('127.')) assert.equal(tried.udp, 'ENETUNREACH', one);
      }
      const other = await untilHealthy(open.id);
      const own = hosts.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '';
      assert.equal((await inside(other, `/try/${own}:${port}`)).tcp, 'reached', 'so the listener can be reached');
      assert.deepEqual(await relays(open.id), []);
      for (const { id } of [closed, open]) await remove(id);
    } finally {
      listener.close();
    }
  });

  test('reach the hosts that they may, by the gateway alone', async () => {
    let visits = 0;
    const upstream = http.createServer((_request, response) => {
      visits += 1;
      response.end('here');
    });
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
    const address = upstream.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    try {
      const { id } = await create({
        command: ['node', '--import', '/run/cloister/forwarder.mjs', '-e', PROGRAM],
        networking: { type: 'limited', allowed_hosts: [`127.0.0.1:${port}`] },
      });
      const service = await untilHealthy(id);
      const via = async (host: string) => (await fetch(`${service.url}/via/${host}`)).text();
      assert.deepEqual([await via(`127.0.0.1:${port}`), visits], ['200', 1]);
      assert.equal(await via('example.org:80'), '403');
      assert.equal(await via(`localhost:${port}`), '403', 'by another name');
      assert.deepEqual([await inside(service, '/out'), visits], [['not reached', 'not reached'], 1]);
      await remove(id);
    } finally {
      upstream.close();
    }
  });

  test('are started again when they end or are taken away, keep their data, and stop when asked', async () => {
    const { id } = await create();
    const first = await untilHealthy(id);
    await fetch(`${first.url}/keep`);
    await fetch(`${first.url}/exit`).catch(() => undefined);
    const second = await untilHealthy(id, first.started_at);
    assert.equal((await inside(second, '/who')).kept, true);
    const [container] = await own(id);
    await engine.call({ method: 'DELETE', path: `/containers/${container.Id}`, query: { force: 1 } });
    const third = await untilHealthy(id, second.started_at);
    // The other one, whose network the service is in, some engines do not remove before it.
    const relay = (await relays(id)).find(({ Labels }) => Labels['cloister.relay'] === 'outer');
    await engine.call({ method: 'DELETE', path: `/containers/${relay.Id}`, query: { force: 1 } });
    await untilHealthy(id, third.started_at);
    assert.deepEqual([(await own(id)).length, (await relays(id)).length], [1, 2]);
    const { data } = (await ask('GET', `/${id}/events?order=asc&limit=100`)).body;
    const ends = data.filter(({ event }: Wire) => event === 'exited').map(({ detail }: Wire) => detail.split(';')[0]);
    // Some engines end it first, and a look may fall in between.
    assert.match(ends[1], /^(its container was removed from outside|it was ended by SIG(TERM|KILL))$/);
    assert.deepEqual([ends[0], ...ends.slice(2)], ['it exited with code 7', 'the relay of its port ended']);
    await ask('POST', `/${id}/stop`);
    await until(id, 'the stop', ({ state }) => state === 'stopped');
    await waitFor(async () => (await found(id, 'containers')).length === 0, { timeoutMs: 60_000, what: 'its container to go' });
    await remove(id);
  });

  test('go on while the server is dead, and are taken up by the next without a second container', async () => {
    const { id } = await create();
    const service = await untilHealthy(id);
    const [container] = await own(id);
    // One that is begun just as the server dies: how far it came, nobody knows.
    const half = await create();
    await server.kill('SIGKILL');
    assert.equal(await (await fetch(`${service.url}/`)).text(), 'ok');
    await server.start();
    const other = await untilHealthy(half.id);
    assert.notEqual(other.url, service.url);
    await until(id, 'a check of the new server', ({ checked_at }) => checked_at > other.started_at);
    assert.deepEqual(
      (await own(id)).map(({ Id }) => Id),
      [container.Id],
    );
    assert.equal((await own(half.id)).length, 1);
    assert.equal((await relays(half.id)).length, 2);
    assert.equal((await ask('GET', `/${id}`)).body.restarts, 0);
    for (const one of [id, half.id]) await remove(one);
  });
}
