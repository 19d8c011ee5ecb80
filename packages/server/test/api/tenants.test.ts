import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { message, OTHER_KEY, startTestServer, type TestServer, type Wire } from '../support/server.ts';

/** Every route that takes an id, by what the id is of. */
const ROUTES: Readonly<Record<'agent' | 'environment' | 'session', readonly (readonly [string, string, unknown?])[]>> = {
  agent: [
    ['GET', '/v1/agents/ID'],
    ['GET', '/v1/agents/ID?version=1'],
    ['GET', '/v1/agents/ID?version=7'],
    ['POST', '/v1/agents/ID', { name: 'mine' }],
    ['POST', '/v1/agents/ID', { name: 'mine', version: 7 }],
    ['GET', '/v1/agents/ID/versions'],
    ['POST', '/v1/agents/ID/archive'],
    ['POST', '/v1/sessions', { agent: 'ID', environment_id: 'env_0' }],
    ['POST', '/v1/sessions', { agent: { type: 'agent', id: 'ID', version: 1 }, environment_id: 'env_0' }],
  ],
  environment: [
    ['GET', '/v1/environments/ID'],
    ['POST', '/v1/environments/ID', { name: 'mine' }],
    ['POST', '/v1/environments/ID/archive'],
    ['DELETE', '/v1/environments/ID'],
    ['POST', '/v1/sessions', { agent: 'OWN_AGENT', environment_id: 'ID' }],
  ],
  session: [
    ['GET', '/v1/sessions/ID'],
    ['POST', '/v1/sessions/ID', { title: 'mine' }],
    ['POST', '/v1/sessions/ID', { agent: { tools: [] } }],
    ['POST', '/v1/sessions/ID/archive'],
    ['DELETE', '/v1/sessions/ID'],
    ['GET', '/v1/sessions/ID/events'],
    ['GET', '/v1/sessions/ID/events/stream'],
    ['POST', '/v1/sessions/ID/events', { events: [message('mine')] }],
    ['POST', '/v1/sessions/ID/events?wait=1', { events: [message('mine')] }],
    ['POST', '/v1/sessions/ID/events', { events: [{ type: 'user.interrupt' }] }],
    ['POST', '/v1/sessions/ID/events', { events: [{ type: 'user.tool_confirmation', tool_use_id: 'evt_0', result: 'allow' }] }],
  ],
};

describe("another tenant's things", () => {
  let server: TestServer;
  const theirs = { agent: '', environment: '', session: '' };
  let ownAgent: string;

  before(async () => {
    server = await startTestServer();
    const make = async (path: string, body: object, key?: string): Promise<string> =>
      (await server.json('POST', path, { body, ...(key === undefined ? {} : { key }) })).body.id;
    ownAgent = await make('/v1/agents', { name: 'own', model: 'demo' });
    theirs.agent = await make('/v1/agents', { name: 'theirs', model: 'demo' }, OTHER_KEY);
    theirs.environment = await make('/v1/environments', { name: 'theirs' }, OTHER_KEY);
    theirs.session = await make('/v1/sessions', { agent: theirs.agent, environment_id: theirs.environment, title: 'theirs' }, OTHER_KEY);
    const sent = await server.json('POST', `/v1/sessions/${theirs.session}/events?wait=10`, {
      key: OTHER_KEY,
      body: { events: [message()] },
    });
    assert.equal(sent.body.turn.outcome, 'completed');
  });
  after(() => server?.[Symbol.asyncDispose]());

  for (const kind of ['agent', 'environment', 'session'] as const)
    for (const [method, path, body] of ROUTES[kind])
      it(`are as missing: ${method} ${path} ${body === undefined ? '' : JSON.stringify(body)}`, async () => {
        const missing = theirs[kind].replace(/.{8}$/, '00000000');
        const [foreign, unknown] = [await ask(theirs[kind]), await ask(missing)];
        assert.equal(foreign.status, 404, foreign.text);
        assert.deepEqual(foreign, unknown);

        /** All that the answer tells, but for the id itself and what is new with every request. */
        async function ask(id: string) {
          const fill = (text: string) => text.replaceAll('OWN_AGENT', ownAgent).replaceAll('ID', id);
          const response = await server.request(method, fill(path), body === undefined ? {} : { body: fill(JSON.stringify(body)) });
          const text = (await response.text()).replaceAll(id, 'ID').replace(/req_[0-9a-f]{32}/, 'REQUEST');
          const headers = [...response.headers].filter(([name]) => name !== 'request-id' && name !== 'date');
          return { status: response.status, text, headers };
        }
      });

  it('are in no listing', async () => {
    const listings: Record<string, string> = {
      '/v1/agents?include_archived=true': theirs.agent,
      '/v1/environments?include_archived=true': theirs.environment,
      '/v1/sessions?include_archived=true': theirs.session,
      '/v1/sandboxes': theirs.session,
    };
    for (const [path, id] of Object.entries(listings)) {
      assert.ok(!JSON.stringify((await server.json('GET', path)).body).includes(id), path);
      assert.ok(JSON.stringify((await server.json('GET', path, { key: OTHER_KEY })).body).includes(id), path);
    }
  });

  it('are still as they were', async () => {
    const { body } = await server.json('GET', `/v1/sessions/${theirs.session}`, { key: OTHER_KEY });
    assert.deepEqual([body.title, body.status, body.archived_at], ['theirs', 'idle', null]);
    const events = await server.json('GET', `/v1/sessions/${theirs.session}/events`, { key: OTHER_KEY });
    assert.equal(events.body.data.filter((event: Wire) => event.type === 'user.message').length, 1);
    assert.equal((await server.json('GET', `/v1/agents/${theirs.agent}`, { key: OTHER_KEY })).body.version, 1);
  });

  it('share no idempotency keys', async () => {
    const own = await server.createSession(ownAgent);
    const headers = { 'idempotency-key': 'the same for both'.replaceAll(' ', '-') };
    const mine = await server.json('POST', `/v1/sessions/${own}/events`, { headers, body: { events: [message('mine')] } });
    const other = await server.json('POST', `/v1/sessions/${theirs.session}/events`, {
      headers,
      key: OTHER_KEY,
      body: { events: [message('theirs')] },
    });
    assert.deepEqual([mine.status, other.status], [200, 200]);
    assert.notEqual(mine.body.data[0].id, other.body.data[0].id);
  });
});
