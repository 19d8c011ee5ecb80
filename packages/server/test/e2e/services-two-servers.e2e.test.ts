import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { createEngine } from '../../src/runtime/docker/engine.ts';
import { testEngine } from '../../src/runtime/docker/test-engine.ts';
import { type PostgresStores, skipWithoutPostgres, startPostgresStores } from '../support/postgres-stores.ts';
import type { Wire } from '../support/server.ts';
import { ADMIN_KEY, type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

const docker = await testEngine();
const engine = createEngine({ endpoint: undefined, runtimeDir: undefined, clock: systemClock });
const skip = docker.ok ? skipWithoutPostgres : docker.reason;

/** Answers, keeps a file, ends or takes all memory when asked to. */
const PROGRAM = `
const http = require('http'), fs = require('fs');
http.createServer((request, response) => {
  if (request.url === '/exit') process.exit(7);
  if (request.url === '/eat') { const held = []; for (;;) held.push(Buffer.alloc(8 << 20, 1)); }
  if (request.url === '/keep') fs.writeFileSync('/data/kept', 'x');
  response.end(request.url === '/kept' ? String(fs.existsSync('/data/kept')) : 'ok');
}).listen(8080);
`;
const PORTS = 3;

describe('services of two servers on one engine and one PostgreSQL', { skip, timeout: 300_000 }, () => {
  let stores: PostgresStores;
  let dataDir: string;
  let servers: readonly [ServerProcess, ServerProcess];

  before(async () => {
    dataDir = await mkdtemp(path.join(os.tmpdir(), 'cloister-two-'));
    stores = await startPostgresStores();
    const env = {
      CLOISTER_RUNTIME: 'docker',
      CLOISTER_SANDBOX_IMAGE: docker.ok ? docker.image : '',
      DATABASE_URL: await stores.postgres.createDatabase(),
      DATA_DIR: dataDir,
      SERVICE_PORTS: `19460-${19_460 + PORTS - 1}`,
      SERVICE_HEALTH_SECONDS: '1',
      SERVICE_RESTART_SECONDS: '0.2',
      LEASE_SECONDS: '6',
      HEARTBEAT_SECONDS: '2',
    };
    servers = [await startServerProcess({ env }), await startServerProcess({ env })];
  });
  after(async () => {
    for (const server of servers ?? []) await server[Symbol.asyncDispose]();
    await stores?.close();
    engine.close();
    await rm(dataDir, { recursive: true, force: true });
  });

  const ask = async (server: ServerProcess, method: string, route: string, body?: object): Promise<{ status: number; body: Wire }> => {
    const response = await fetch(`${server.url}/v1/services${route}`, {
      method,
      headers: { 'x-api-key': ADMIN_KEY, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: await response.json() };
  };
  const create = (server: ServerProcess) =>
    ask(server, 'POST', '', {
      name: 'agent',
      image: docker.ok ? docker.image : '',
      command: ['node', '--max-old-space-size=4096', '-e', PROGRAM],
      memory: '96m',
    });
  const until = (server: ServerProcess, id: string, what: string, is: (service: Wire) => boolean): Promise<Wire> =>
    waitFor(
      async () => {
        const { body } = await ask(server, 'GET', `/${id}`);
        return is(body) ? body : undefined;
      },
      { timeoutMs: 90_000, what },
    );
  const isWell = ({ state, health }: Wire) => state === 'running' && health === 'healthy';
  const parts = async (id: string): Promise<Wire[]> => {
    const filters = JSON.stringify({ label: [`cloister.service=${id}`] });
    return (await engine.call({ method: 'GET', path: '/containers/json', query: { filters, all: 1 } })).body as Wire[];
  };
  /** Without the relays of its port. */
  const containers = async (id: string): Promise<Wire[]> => (await parts(id)).filter((one) => one.Labels['cloister.relay'] === undefined);
  const endings = async (server: ServerProcess, id: string): Promise<string[]> => {
    const { data } = (await ask(server, 'GET', `/${id}/events?order=asc&limit=100`)).body;
    return data.filter(({ event }: Wire) => event === 'exited').map(({ detail }: Wire) => detail);
  };

  let made: readonly Wire[];

  it('never give a port twice, and no more services than ports, whichever is asked', async () => {
    const answers = await Promise.all(Array.from({ length: PORTS + 2 }, (_, index) => create(servers[index % 2 === 0 ? 0 : 1])));
    made = answers.filter(({ status }) => status === 202).map(({ body }) => body);
    assert.equal(new Set(made.map(({ url }) => url)).size, PORTS);
    for (const { status, body } of answers) if (status !== 202) assert.equal(body.error.code, 'service_ports_exhausted');
    for (const { id } of made) {
      await until(servers[1], id, 'health', isWell);
      assert.equal((await containers(id)).length, 1, 'one owner starts it once');
    }
  });

  it('tell exactly that memory ran out, and start it again once', async () => {
    const [{ id, url }] = made as [Wire];
    await fetch(`${url}/eat`).catch(() => undefined);
    const again = await until(servers[0], id, 'the restart', (one) => one.restarts >= 1 && isWell(one));
    assert.equal(again.restarts, 1);
    assert.deepEqual(
      (await endings(servers[0], id)).map((detail) => detail.replace(/;.*/, '')),
      ['it ran out of memory'],
    );
    assert.equal((await containers(id)).length, 1);
  });

  it('go on when either server is killed: the other restarts them, with their data', async () => {
    const [, { id, url }] = made as [Wire, Wire];
    assert.equal((await fetch(`${url}/keep`)).status, 200);
    // Whoever owns the restarts, one of the two rounds takes it from a dead one.
    for (const [round, [dead, alive]] of [[servers[0], servers[1]] as const, [servers[1], servers[0]] as const].entries()) {
      const before = await containers(id);
      await dead.kill('SIGKILL');
      assert.equal(await (await fetch(`${url}/`)).text(), 'ok', 'its container does not notice');
      await fetch(`${url}/exit`).catch(() => undefined);
      await until(alive, id, 'the restart by the other', (one) => one.restarts === round + 1 && isWell(one));
      const after = await containers(id);
      assert.equal(after.length, 1);
      assert.notEqual(after[0]?.Id, before[0]?.Id);
      assert.equal(await (await fetch(`${url}/kept`)).text(), 'true');
      await dead.start();
    }
    assert.deepEqual(
      (await endings(servers[0], id)).map((detail) => detail.replace(/;.*/, '')),
      ['it exited with code 7', 'it exited with code 7'],
    );
  });

  it('leave nothing when they are deleted through either', async () => {
    for (const [index, { id }] of made.entries()) {
      const server = servers[index % 2 === 0 ? 0 : 1];
      assert.equal((await ask(server, 'DELETE', `/${id}`)).status, 202);
      await waitFor(async () => (await ask(server, 'GET', `/${id}`)).status === 404, { timeoutMs: 90_000, what: 'the end' });
      assert.deepEqual(await parts(id), []);
    }
  });
});
