import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { OTHER_KEY, startTestServer, type TestServer, type Wire } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const process = { type: 'process' } as const;

describe('services', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ env: { SERVICE_PORTS: '19200-19202' } });
  });
  after(() => server?.[Symbol.asyncDispose]());

  const create = async (more: object = {}): Promise<Wire> => {
    const { status, body } = await server.json('POST', '/v1/services', { body: { name: 'one', image: 'any', health: process, ...more } });
    assert.equal(status, 202, JSON.stringify(body));
    return body;
  };
  const get = async (id: string): Promise<Wire> => (await server.json('GET', `/v1/services/${id}`)).body;
  const until = (id: string, state: string): Promise<Wire> =>
    waitFor(async () => (await get(id)).state === state && (await get(id)), { timeoutMs: 20_000, what: state });
  const act = (id: string, action: string) => server.json('POST', `/v1/services/${id}/${action}`);
  const remove = async (id: string) => {
    assert.equal((await server.json('DELETE', `/v1/services/${id}`)).status, 202);
    await waitFor(async () => (await server.request('GET', `/v1/services/${id}`)).status === 404, { timeoutMs: 20_000, what: 'the end' });
  };

  it('are deployed, stopped, started and deleted, and tell what happened', async () => {
    const made = await create({ env: { TOKEN: 'hush' }, command: ['run', 'it'], metadata: { a: 'b' }, memory: '128m' });
    assert.deepEqual(
      [made.type, made.state, made.desired_state, made.env_names, made.command, made.memory_bytes, made.networking],
      ['service', 'pending', 'running', ['TOKEN'], ['run', 'it'], 128 * 1024 ** 2, { type: 'none' }],
    );
    assert.match(made.url, /^http:\/\/127\.0\.0\.1:1920\d$/);
    const running = await until(made.id, 'running');
    assert.ok(!JSON.stringify(running).includes('hush'));
    assert.equal((await act(made.id, 'stop')).status, 202);
    const stopped = await until(made.id, 'stopped');
    assert.deepEqual([stopped.url, stopped.desired_state], [made.url, 'stopped']);
    assert.equal((await server.json('GET', `/v1/services/${made.id}/logs`)).body.error.code, 'service_not_running');
    await act(made.id, 'start');
    await until(made.id, 'running');
    await act(made.id, 'restart');
    await until(made.id, 'running');
    const { data, next_page } = (await server.json('GET', `/v1/services/${made.id}/events?order=asc&limit=3`)).body;
    assert.deepEqual(
      data.map(({ event }: Wire) => event),
      ['created', 'starting', 'started'],
    );
    const rest = (await server.json('GET', `/v1/services/${made.id}/events?order=asc&limit=50&page=${next_page}`)).body;
    assert.ok(rest.data.some(({ event }: Wire) => event === 'restart_requested'));
    await remove(made.id);
    assert.deepEqual((await server.json('GET', '/v1/services')).body.data, []);
  });

  it('stream their output and what they use', async () => {
    const { id } = await create();
    await until(id, 'running');
    const logs = await (await server.request('GET', `/v1/services/${id}/logs?tail=5`)).text();
    assert.match(logs, /event: log\ndata: \{"stream":"stdout","at":"2026-01-01T00:00:00Z","text":"fake svc_/);
    const stats = await (await server.request('GET', `/v1/services/${id}/stats`)).text();
    assert.match(stats, /event: stats\ndata: \{"at":"[^"]+","cpu_percent":1,/);
    await remove(id);
  });

  it('are told of by their programs, with the token of the container alone', async () => {
    const { id } = await create();
    await until(id, 'running');
    const token = await readFile(path.join(server.dataDir, 'services', id, 'run', 'callback-token'), 'utf8');
    const tell = (body: object, headers: Record<string, string>, key: string | null = null) =>
      server.json('POST', `/v1/services/${id}/callback`, { body, headers, key });
    const report = { status: 'indexing', progress: 0.5 };
    for (const headers of [{}, { authorization: 'Bearer clcb_wrong' }, { 'x-webhook-token': server.key }])
      assert.equal((await tell(report, headers)).body.error.code, 'credentials_invalid');
    assert.equal((await tell(report, {}, server.key)).body.error.code, 'credentials_invalid', 'a key is no token');
    assert.deepEqual((await tell(report, { authorization: `Bearer ${token}` })).body, { received: true });
    const { at: _at, ...reported } = (await get(id)).reported;
    assert.deepEqual(reported, { ...report, message: null });
    await tell({ status: 'done', progress: 1 }, { 'x-webhook-token': token });
    assert.equal((await get(id)).reported.status, 'done');
    assert.equal((await tell({ progress: 2 }, { 'x-webhook-token': token })).body.error.code, 'request_invalid');
    assert.ok(!JSON.stringify(await get(id)).includes(token));
    const elsewhere = await server.json('POST', '/v1/services/svc_0/callback', {
      body: {},
      headers: { 'x-webhook-token': token },
      key: null,
    });
    assert.equal(elsewhere.body.error.code, 'credentials_invalid');
    // A new container has a new token, and the former is good for nothing; nor is the last one of a stopped service.
    await act(id, 'restart');
    const tokenNow = () => readFile(path.join(server.dataDir, 'services', id, 'run', 'callback-token'), 'utf8');
    await waitFor(async () => (await tokenNow()) !== token && (await get(id)).state === 'running', {
      timeoutMs: 20_000,
      what: 'the restart',
    });
    assert.equal((await tell(report, { 'x-webhook-token': token })).body.error.code, 'credentials_invalid');
    const last = await tokenNow();
    assert.deepEqual((await tell(report, { 'x-webhook-token': last })).body, { received: true });
    await act(id, 'stop');
    await until(id, 'stopped');
    assert.equal((await tell(report, { 'x-webhook-token': last })).body.error.code, 'credentials_invalid');
    await remove(id);
    assert.equal((await tell(report, { 'x-webhook-token': last })).body.error.code, 'credentials_invalid');
  });

  it('refuse what cannot be, and say which field is wrong', async () => {
    const refused = async (more: object, code: string, pointer?: string) => {
      const { body } = await server.json('POST', '/v1/services', { body: { name: 'x', image: 'any', ...more } });
      assert.equal(body.error?.code, code, JSON.stringify(body));
      if (pointer !== undefined) assert.equal(body.error.errors[0].pointer, pointer);
    };
    await refused({ image: 'missing' }, 'image_missing', '/image');
    await refused({ networking: { type: 'unrestricted' } }, 'capability_unsupported', '/networking');
    await refused({ networking: { type: 'limited' } }, 'request_invalid', '/networking/allowed_hosts');
    await refused({ networking: { type: 'limited', allowed_hosts: ['http://x'] } }, 'request_invalid', '/networking/allowed_hosts/0');
    await refused({ image: '../../etc' }, 'request_invalid', '/image');
    await refused({ image: 'a b' }, 'request_invalid', '/image');
    await refused({ command: [] }, 'request_invalid', '/command');
    await refused({ command: ['a\0b'] }, 'request_invalid');
    await refused({ env: { 'A=B': 'x' } }, 'request_invalid');
    await refused({ uid: 0 }, 'request_invalid', '/uid');
    await refused({ port: 70_000 }, 'request_invalid', '/port');
    await refused({ health: { type: 'http', path: 'no slash' } }, 'request_invalid', '/health/path');
    await refused({ health: { type: 'http', path: '/a\r\nX: y' } }, 'request_invalid', '/health/path');
    await refused({ memory: '1k' }, 'request_invalid', '/memory');
    await refused({ mounts: [] }, 'request_invalid', '/mounts');
    assert.deepEqual((await server.json('GET', '/v1/services')).body.data, []);
  });

  it('never share a port, and there are only as many as ports', async () => {
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => server.json('POST', '/v1/services', { body: { name: 'x', image: 'any', health: process } })),
    );
    const made = answers.filter(({ status }) => status === 202).map(({ body }) => body);
    assert.equal(new Set(made.map(({ url }) => url)).size, 3);
    for (const { status, body } of answers) if (status !== 202) assert.equal(body.error.code, 'service_ports_exhausted');
    for (const { id } of made) await remove(id);
  });

  it('belong to their tenant', async () => {
    const { id } = await create();
    await until(id, 'running');
    for (const [method, route] of [
      ['GET', ''],
      ['GET', '/events'],
      ['GET', '/logs'],
      ['GET', '/stats'],
      ['POST', '/start'],
      ['POST', '/stop'],
      ['POST', '/restart'],
      ['DELETE', ''],
    ] as const) {
      const { status, body } = await server.json(method, `/v1/services/${id}${route}`, { key: OTHER_KEY });
      assert.deepEqual([status, body.error.code], [404, 'service_not_found'], `${method} ${route}`);
    }
    assert.deepEqual((await server.json('GET', '/v1/services', { key: OTHER_KEY })).body.data, []);
    assert.equal((await get(id)).desired_state, 'running');
    await remove(id);
  });
});
