import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Store } from '../../src/store/store.ts';
import { message, OTHER_KEY, startTestServer, type TestServer, type Wire } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

let keys = 0;
const newKey = () => `key-${++keys}`;
const agent = (name = 'Ada') => ({ name, model: 'demo' });

async function post(server: TestServer, route: string, key: string, body?: unknown) {
  return server.json('POST', route, { headers: { 'idempotency-key': key }, ...(body === undefined ? {} : { body }) });
}

async function count(server: TestServer, route: string): Promise<number> {
  return (await server.json('GET', `${route}?limit=100`)).body.data.length;
}

describe('Idempotency-Key on every POST', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server?.[Symbol.asyncDispose]());

  const environmentId = async () => (await server.json('GET', '/v1/environments')).body.data[0].id;
  const agentId = async () => (await server.json('GET', '/v1/agents?order=asc')).body.data[0].id;

  it('answers the first answer again, and makes one thing', async () => {
    const bodies: readonly (readonly [string, unknown])[] = [
      ['/v1/agents', agent()],
      ['/v1/environments', { name: 'here' }],
      ['/v1/webhooks', { url: 'https://example.com/hook', events: '*' }],
      ['/v1/sessions', { agent: await agentId(), environment_id: await environmentId(), initial_events: [message('hello')] }],
    ];
    for (const [route, body] of bodies) {
      const before = await count(server, route);
      const key = newKey();
      const first = await post(server, route, key, body);
      assert.equal(first.status, 200, JSON.stringify(first.body));
      assert.equal(first.headers.get('idempotent-replayed'), null);
      const again = await post(server, route, key, body);
      assert.deepEqual([again.status, again.headers.get('idempotent-replayed'), again.body], [200, 'true', first.body]);
      assert.match(again.headers.get('content-type') ?? '', /^application\/json/);
      assert.equal(await count(server, route), before + 1, route);
    }
  });

  it('holds for changes too: a version, an update and an archiving happen once', async () => {
    const { id } = (await post(server, '/v1/agents', newKey(), agent())).body;
    const key = newKey();
    const update = { version: 1, system: 'Be kind.' };
    assert.equal((await post(server, `/v1/agents/${id}`, key, update)).body.version, 2);
    await server.json('POST', `/v1/agents/${id}`, { body: { system: 'Be brief.' } });
    assert.equal((await post(server, `/v1/agents/${id}`, key, update)).body.version, 2);
    assert.equal((await server.json('GET', `/v1/agents/${id}`)).body.version, 3);

    const session = await server.createSession();
    const titled = newKey();
    for (let times = 0; times < 2; times++) await post(server, `/v1/sessions/${session}`, titled, { title: 'once' });
    const events = (await server.json('GET', `/v1/sessions/${session}/events`)).body.data as readonly Wire[];
    assert.equal(events.filter(({ type }) => type === 'session.updated').length, 1);

    const archived = newKey();
    const first = await post(server, `/v1/agents/${id}/archive`, archived);
    assert.deepEqual((await post(server, `/v1/agents/${id}/archive`, archived)).body, first.body);
  });

  it('makes one thing of many requests at the same moment', async () => {
    const key = newKey();
    const before = await count(server, '/v1/agents');
    const answers = await Promise.all(Array.from({ length: 10 }, () => post(server, '/v1/agents', key, agent('Twin'))));
    const done = answers.filter(({ status }) => status === 200);
    for (const { status, body, headers } of answers)
      if (status !== 200) assert.deepEqual([status, body.error.code, headers.get('retry-after')], [409, 'idempotency_in_flight', '1']);
    assert.equal(new Set(done.map(({ body }) => body.id)).size, 1);
    assert.equal(await count(server, '/v1/agents'), before + 1);
  });

  it('looks at what a body says, not at how it is written', async () => {
    const key = newKey();
    const first = await post(server, '/v1/agents', key, '{"name":"Ada","model":"demo","metadata":{"a":"1","b":"2"}}');
    const again = await post(server, '/v1/agents', key, '{ "metadata": {"b":"2","a":"1"},\n "model":"demo", "name":"Ada" }');
    assert.deepEqual(again.body, first.body);
  });

  it('refuses another body, another route or events under the same key, and leaves other tenants alone', async () => {
    const key = newKey();
    const session = await server.createSession();
    assert.equal((await post(server, '/v1/agents', key, agent())).status, 200);
    for (const [route, body] of [
      ['/v1/agents', agent('Bob')],
      ['/v1/environments', { name: 'Ada' }],
      [`/v1/sessions/${session}/events`, { events: [message()] }],
    ] as const) {
      const refused = await post(server, route, key, body);
      assert.deepEqual([refused.status, refused.body.error.code], [422, 'idempotency_mismatch'], route);
    }
    const sent = newKey();
    assert.equal((await post(server, `/v1/sessions/${session}/events`, sent, { events: [message()] })).status, 200);
    assert.equal((await post(server, '/v1/agents', sent, agent())).status, 422);
    const other = await server.json('POST', '/v1/agents', { key: OTHER_KEY, headers: { 'idempotency-key': key }, body: agent('Eve') });
    assert.deepEqual([other.status, other.body.name], [200, 'Eve']);
  });

  it('keeps no refusal: the key stays free for the request put right', async () => {
    const key = newKey();
    assert.equal((await post(server, '/v1/agents', key, { name: 1 })).status, 400);
    assert.equal(
      (await post(server, '/v1/agents', key, { name: 'Ada', model: 'demo', harness: 'none' })).body.error.code,
      'harness_unknown',
    );
    assert.equal((await post(server, '/v1/agents', key, agent())).status, 200);
  });

  it('refuses a key that is none', async () => {
    for (const key of ['a b', 'x'.repeat(256), '']) {
      const { status, body } = await post(server, '/v1/agents', key, agent());
      assert.deepEqual([status, body.error.errors[0].pointer], [400, 'Idempotency-Key']);
    }
  });

  it('is in the description of every POST', async () => {
    const { paths } = (await server.json('GET', '/openapi.json')).body;
    for (const [route, { post: operation }] of Object.entries<Wire>(paths)) {
      // What takes no key of ours has none to remember answers for.
      if (operation === undefined || operation.security?.length === 0) continue;
      // A person's own: they hold passwords, which nothing may keep, and twice is the same as once.
      if (route.startsWith('/v1/auth/')) continue;
      // OpenAI's clients send no such key with it, and what is cancelled stays so.
      if (route === '/v1/responses/{id}/cancel') continue;
      assert.ok(
        operation.parameters.some(({ name }: Wire) => name === 'Idempotency-Key'),
        route,
      );
      assert.match(operation.responses[422].description, /idempotency_mismatch/, route);
    }
  });

  it('is remembered across a restart', async () => {
    const key = newKey();
    const first = await post(server, '/v1/agents', key, agent('Lasting'));
    await server.restart();
    assert.deepEqual((await post(server, '/v1/agents', key, agent('Lasting'))).body, first.body);
  });
});

describe('a request that breaks off', () => {
  it('answers 409 while it runs', async () => {
    const gate = Promise.withResolvers<void>();
    const entered = Promise.withResolvers<void>();
    let isHeld = false;
    const wrapStore = (store: Store): Store => ({
      ...store,
      agents: {
        ...store.agents,
        async create(input) {
          if (isHeld) {
            entered.resolve();
            await gate.promise;
          }
          return store.agents.create(input);
        },
      },
    });
    await using server = await startTestServer({ overrides: { wrapStore } });
    isHeld = true;
    const first = post(server, '/v1/agents', 'held', agent());
    await entered.promise;
    const second = await post(server, '/v1/agents', 'held', agent());
    assert.deepEqual([second.status, second.body.error.code], [409, 'idempotency_in_flight']);
    assert.equal((await post(server, '/v1/agents', 'held', agent('Bob'))).status, 422);
    gate.resolve();
    const { body } = await first;
    assert.deepEqual((await post(server, '/v1/agents', 'held', agent())).body, body);
  });

  it('makes no second thing when the answer was never kept', { timeout: 30_000 }, async () => {
    // As if the server had died after making the thing: the reservation stays, with nobody to answer it.
    let isDying = true;
    const wrapStore = (store: Store): Store => ({
      ...store,
      requests: { ...store.requests, complete: (input) => (isDying ? Promise.resolve(false) : store.requests.complete(input)) },
    });
    await using server = await startTestServer({ overrides: { wrapStore }, env: { LEASE_SECONDS: '1' } });
    const [environment] = (await server.json('GET', '/v1/environments')).body.data;
    const [first] = (await server.json('GET', '/v1/agents')).body.data;
    const requests: readonly (readonly [string, unknown])[] = [
      ['/v1/agents', agent('Once')],
      ['/v1/environments', { name: 'once' }],
      ['/v1/webhooks', { url: 'https://example.com/once', events: '*' }],
      ['/v1/sessions', { agent: first.id, environment_id: environment.id, initial_events: [message('once')] }],
      [`/v1/agents/${first.id}`, { version: first.version, system: 'once' }],
    ];
    const broken = await Promise.all(requests.map(([route, body], index) => post(server, route, `crash-${index}`, body)));
    for (const { status, body } of broken) assert.equal(status, 200, JSON.stringify(body));
    const counts = await Promise.all(['agents', 'environments', 'webhooks', 'sessions'].map((name) => count(server, `/v1/${name}`)));
    isDying = false;
    for (const [index, [route, body]] of requests.entries()) {
      const again = await waitFor(
        async () => {
          const answer = await post(server, route, `crash-${index}`, body);
          return answer.status === 409 && answer.body.error.code === 'idempotency_in_flight' ? undefined : answer;
        },
        { timeoutMs: 10_000, what: 'the lease to end' },
      );
      assert.equal(again.status, 200, JSON.stringify(again.body));
      const { id, version, secret } = broken[index]?.body ?? {};
      assert.deepEqual([again.body.id, again.body.version, again.body.secret], [id, version, secret]);
      assert.equal((await post(server, route, `crash-${index}`, body)).headers.get('idempotent-replayed'), 'true');
    }
    assert.deepEqual(
      await Promise.all(['agents', 'environments', 'webhooks', 'sessions'].map((name) => count(server, `/v1/${name}`))),
      counts,
    );
    const session = broken[3]?.body.id;
    const sent = (await server.json('GET', `/v1/sessions/${session}/events?types[]=user.message`)).body.data;
    assert.equal(sent.length, 1);
  });
});
