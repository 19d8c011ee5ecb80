import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { startFakeModel } from '@cloister/fake-model';
import { engineMissing } from '../support/engine.ts';
import type { Wire } from '../support/server.ts';
import { ADMIN_KEY, type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { startNameServer, startUpstream } from '../support/upstream.ts';
import { waitFor } from '../support/wait-for.ts';

const MODEL_KEY = 'sk-real-provider-key-that-must-stay-outside';
const SECRET = 'a-registry-token-that-must-stay-outside';
const [HOST, ADDRESS] = ['registry.example', '127.0.0.1'];
const TURN_MS = 120_000;

interface Event {
  readonly type: string;
  readonly content?: readonly { readonly text?: string }[];
}

/** A session whose agent runs what it is told; answers what the command wrote. */
async function openShell(client: Anthropic, environmentId: string) {
  const agent = await client.beta.agents.create({
    name: 'network',
    model: 'fake-model',
    tools: [{ type: 'agent_toolset_20260401', default_config: { permission_policy: { type: 'always_allow' } } }],
  });
  const { id } = await client.beta.sessions.create({ agent: agent.id, environment_id: environmentId });
  const eventsOf = async (type: string): Promise<readonly Event[]> => {
    const all: Event[] = [];
    // As: some event types are extensions that the SDK does not know.
    for await (const event of client.beta.sessions.events.list(id, { limit: 500 })) all.push(event as unknown as Event);
    return all.filter((event) => event.type === type);
  };
  let turns = 0;
  const run = async (command: string): Promise<string> => {
    const text = `[[tool bash ${JSON.stringify({ command })}]]`;
    await client.beta.sessions.events.send(id, { events: [{ type: 'user.message', content: [{ type: 'text', text }] }] });
    turns++;
    await waitFor(async () => ((await eventsOf('turn.ended')).length >= turns ? true : undefined), { timeoutMs: TURN_MS, what: command });
    const results = await eventsOf('agent.tool_result');
    return (results.at(-1)?.content ?? []).map((block) => block.text ?? '').join('');
  };
  return { id, agentId: agent.id, run };
}

async function json(server: ServerProcess, method: string, route: string, body?: unknown): Promise<Wire> {
  const headers = { 'x-api-key': ADMIN_KEY, 'content-type': 'application/json' };
  const answer = await fetch(server.url + route, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  assert.ok(answer.ok, `${method} ${route}: ${answer.status}`);
  return answer.json();
}

test('npm and node work inside a sandbox, with a credential that never enters it, as long as the policy lets them', async (t) => {
  const skip = await engineMissing();
  if (skip !== false) return t.skip(skip);
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(path.join(os.tmpdir(), 'network-e2e-'));
  stack.defer(() => rm(directory, { recursive: true }));
  const upstream = stack.use(await startUpstream({ address: ADDRESS, host: HOST, authorization: `Bearer ${SECRET}` }));
  const names = stack.use(await startNameServer(ADDRESS));
  const site = `${HOST}:${upstream.port}`;
  const credentials = path.join(directory, 'credentials.json');
  const entry = { name: 'registry', hosts: [site], secret: SECRET };
  await writeFile(credentials, JSON.stringify({ credentials: [entry] }), { mode: 0o600 });
  const model = await startFakeModel({ requireKey: MODEL_KEY });
  stack.defer(() => model.close());
  const env = {
    CLOISTER_RUNTIME: 'docker',
    CLOISTER_HARNESS: 'builtin',
    CLOISTER_MODEL: 'fake-model',
    OPENAI_API_KEY: MODEL_KEY,
    OPENAI_BASE_URL: `${model.url}/v1`,
    EGRESS_ALLOW_PRIVATE: ADDRESS,
    EGRESS_NAME_SERVERS: names.address,
    EGRESS_UPSTREAM_CA_FILE: upstream.caFile,
    EGRESS_CREDENTIALS_FILE: credentials,
  };
  const server = stack.use(await startServerProcess({ env, readyMs: 300_000 }));
  const client = new Anthropic({ apiKey: ADMIN_KEY, baseURL: server.url, maxRetries: 0 });
  const networking = { type: 'limited', rules: [{ host: site, methods: ['GET'], credential: 'registry' }] };
  const environment = await json(server, 'POST', '/v1/environments', { name: 'network', config: { type: 'container', networking } });
  const shell = await openShell(client, environment.id);

  const install = `npm install --no-audit --no-fund --registry https://${site}/ tiny-package 2>&1 && node -p "require('tiny-package')"`;
  assert.match(await shell.run(install), /from the registry/);
  const get = `node -e "fetch('https://${site}/file.txt').then(async (a) => console.log(a.status, await a.text()), (e) => console.log('failed', e.cause?.message ?? e.message))"`;
  assert.match(await shell.run(get), /200 the file/);
  assert.match(await shell.run(get.replace("txt')", "txt', { method: 'POST' })")), /403 .*egress_denied/);
  assert.match(await shell.run(get.replace(site, 'example.org')), /failed/);
  assert.match(await shell.run(get.replace(`https://${site}`, 'http://169.254.169.254')), /failed|egress_denied/);
  assert.doesNotMatch(
    await shell.run(`env; cat /run/cloister/*.pem; grep -rs ${SECRET.slice(0, 10)} /home /run /tmp . || echo clean`),
    new RegExp(SECRET),
  );

  // The sandbox lives on, and the way out closes: first by the agent, then by the environment.
  await json(server, 'POST', `/v1/agents/${shell.agentId}`, { networking: { type: 'none' } });
  assert.match(await shell.run(get), /failed/);
  await json(server, 'POST', `/v1/agents/${shell.agentId}`, { networking: null });
  assert.match(await shell.run(get), /200 the file/);
  await json(server, 'POST', `/v1/environments/${environment.id}`, { config: { type: 'container', networking: { type: 'none' } } });
  assert.match(await shell.run(get), /failed/);

  const listed = await json(server, 'GET', `/v1/sessions/${shell.id}/egress?limit=100`);
  const reasons = new Set(listed.data.map((one: { outcome: string; reason: string }) => `${one.outcome} ${one.reason}`));
  for (const reason of ['allowed listed', 'denied method', 'denied not_listed']) assert.ok(reasons.has(reason), reason);
  assert.equal(new Set(listed.data.map((one: { sandbox_id: string }) => one.sandbox_id)).size, 1, 'one sandbox all the while');
  assert.doesNotMatch(JSON.stringify(listed), /file\.txt|outside/);
  assert.ok(upstream.seen.every(({ authorization }) => authorization === `Bearer ${SECRET}`));
});
