import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { message, OTHER_KEY, startTestServer, type TestServer, type Wire } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const MS = 30_000;
/** Sandboxes are then opened by messages alone, so that a turn tells how it came by its own. */
const env = { WARM_POOL_MAX: '2', PRESTART_SANDBOXES: 'false' };

interface Asker {
  readonly server: TestServer;
  readonly agent: string;
  readonly environment: string;
  readonly key?: string;
}

async function setup(server: TestServer, config: Wire, key?: string): Promise<Asker> {
  const make = async (route: string, body: Wire): Promise<string> => {
    const answer = await server.json('POST', route, { body, ...(key === undefined ? {} : { key }) });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return answer.body.id;
  };
  const agent = await make('/v1/agents', { name: 'one', model: 'demo', harness: 'fake' });
  const environment = await make('/v1/environments', { name: 'pooled', config: { type: 'container', ...config } });
  return { server, agent, environment, ...(key === undefined ? {} : { key }) };
}

async function ask(asker: Asker, method: string, route: string, body?: Wire): Promise<Wire> {
  const { server, key } = asker;
  const answer = await server.json(method, route, { ...(body === undefined ? {} : { body }), ...(key === undefined ? {} : { key }) });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return answer.body;
}

const newSession = async (asker: Asker): Promise<string> =>
  (await ask(asker, 'POST', '/v1/sessions', { agent: asker.agent, environment_id: asker.environment })).id;

/** Sends the message, and answers what the turn had to wait for. */
async function say(asker: Asker, sessionId: string, text = 'hello'): Promise<Wire> {
  const sent = await ask(asker, 'POST', `/v1/sessions/${sessionId}/events?wait=30`, { events: [message(text)] });
  assert.equal(sent.turn?.outcome, 'completed', JSON.stringify(sent));
  const turns = await ask(asker, 'GET', `/v1/sessions/${sessionId}/turns`);
  return turns.data[0].stages;
}

async function metric(server: TestServer, line: string): Promise<number> {
  const text = await (await server.request('GET', '/metrics')).text();
  return Number(
    text
      .split('\n')
      .find((one) => one.startsWith(`${line} `))
      ?.split(' ')[1],
  );
}

const untilReady = ({ server }: Asker, count = 1) =>
  waitFor(async () => (await metric(server, 'cloister_warm_sandboxes{state="ready"}')) === count, {
    timeoutMs: MS,
    what: `${count} sandboxes to stand ready`,
  });

test('a new session gets the sandbox that stood ready, with its files and its conversation', async () => {
  await using server = await startTestServer({ env });
  const asker = await setup(server, { warm: 1 });
  const cold = await say(asker, await newSession(asker));
  assert.ok(cold.create !== undefined && cold.handover === undefined, JSON.stringify(cold));
  await untilReady(asker);
  const id = await newSession(asker);
  const stages = await say(asker, id, '[[write note.txt from the pool]]');
  assert.ok(stages.handover !== undefined && stages.create === undefined, JSON.stringify(stages));
  const file = await server.request('GET', `/v1/sessions/${id}/files/content?path=note.txt`);
  assert.equal(await file.text(), 'from the pool');
  assert.equal(await metric(server, 'cloister_warm_claims_total{outcome="hit",reason="hit"}'), 1);
  await untilReady(asker);
  // Its conversation is in the session's own files by now.
  await server.restart();
  await ask(asker, 'POST', `/v1/sessions/${id}/events?wait=30`, { events: [message('again')] });
  const events = await ask(asker, 'GET', `/v1/sessions/${id}/events?limit=100`);
  assert.match(JSON.stringify(events.data), /echo: again \| turns=2/);
  // The rule is kept over the restart; what the first life had is gone.
  await untilReady(asker);
  assert.equal((await readdir(path.join(server.dataDir, 'sessions', '.warm'))).length, 1);
});

test('what is ready is for the same agent, environment and tenant alone', async () => {
  await using server = await startTestServer({ env });
  const asker = await setup(server, { warm: 1 });
  await say(asker, await newSession(asker));
  await untilReady(asker);
  const stranger = await setup(server, { warm: 0 }, OTHER_KEY);
  assert.ok((await say(stranger, await newSession(stranger))).create !== undefined, 'another tenant');
  const told = async (one: Asker) => (await ask(one, 'GET', '/v1/status')).warm_pool;
  assert.deepEqual(await told(stranger), { max: 2, reason: null, environments: [] }, "nothing of another tenant's");
  const its = { environment_id: asker.environment, agent_id: asker.agent, wanted: 1, ready: 1, warming: 0, claimed: 0 };
  assert.deepEqual((await told(asker)).environments, [its]);
  const changed = await ask(asker, 'POST', `/v1/agents/${asker.agent}`, { version: 1, system: 'Be brief.' });
  assert.equal(changed.version, 2);
  const old = await ask(asker, 'POST', '/v1/sessions', {
    agent: { type: 'agent', id: asker.agent, version: 1 },
    environment_id: asker.environment,
  });
  await say(asker, old.id);
  // The one for the old version has made room for one for the new.
  const isWarm = async () => (await say(asker, await newSession(asker))).handover !== undefined;
  await waitFor(isWarm, { timeoutMs: MS, what: 'a session of the new version to get one' });
});

test('a session that has files keeps them, and gets a sandbox of its own', async () => {
  await using server = await startTestServer({ env });
  const asker = await setup(server, { warm: 1 });
  await say(asker, await newSession(asker));
  await untilReady(asker);
  const id = await newSession(asker);
  const put = await server.request('PUT', `/v1/sessions/${id}/files/content?path=mine.txt`, { body: 'kept' });
  assert.equal(put.status, 200, await put.text());
  assert.ok((await say(asker, id)).create !== undefined);
  assert.equal(await (await server.request('GET', `/v1/sessions/${id}/files/content?path=mine.txt`)).text(), 'kept');
  assert.equal(await metric(server, 'cloister_warm_claims_total{outcome="miss",reason="files"}'), 1);
});

test('sessions that come often keep one ready without a rule', async () => {
  await using server = await startTestServer({ env: { WARM_POOL_MAX: '1' } });
  const asker = await setup(server, {});
  for (let index = 0; index < 3; index++) await newSession(asker);
  await untilReady(asker);
  const id = await newSession(asker);
  const started = await waitFor(
    async () => (await ask(asker, 'GET', '/v1/sandboxes')).data.find((one: Wire) => one.session_id === id && one.state === 'idle'),
    { timeoutMs: MS, what: 'the sandbox of the session' },
  );
  assert.deepEqual(Object.keys(started.stages), ['handover']);
  assert.equal((await ask(asker, 'POST', `/v1/sessions/${id}/events?wait=30`, { events: [message()] })).turn.outcome, 'completed');
});
