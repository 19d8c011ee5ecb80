import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { type AgentCreate, ClientError, createClient, type SessionEvent } from '@cloister/api';
import { loadConfig } from '../../src/config.ts';
import { startServer } from '../../src/main.ts';
import { waitFor } from '../support/wait-for.ts';

const KEY = 'clst_follow-up-key';

async function setup(followUp: AgentCreate['follow_up'], env: Record<string, string> = {}) {
  const ownDir = await mkdtemp(path.join(os.tmpdir(), 'cloister-follow-up-'));
  const fixed = {
    CLOISTER_RUNTIME: 'fake',
    CLOISTER_STORE: 'memory',
    DATA_DIR: ownDir,
    PORT: '0',
    LOG_LEVEL: 'silent',
    WARM_POOL_MAX: '0',
  };
  const server = await startServer(loadConfig({ ...fixed, CLOISTER_ADMIN_KEY: KEY, RETRY_BASE_SECONDS: '0', ...env }));
  const client = createClient({ url: server.url, key: KEY });
  const environment = (await client.environments.list()).data[0]?.id ?? '';
  const agent = await client.agents.create({ name: 'Ada', model: 'demo', ...(followUp === undefined ? {} : { follow_up: followUp }) });
  const { id } = await client.sessions.create({ agent: agent.id, environment_id: environment });
  const events = async () => (await client.events.list(id, { limit: 1000, order: 'asc' })).data;
  return {
    agent,
    id,
    events,
    send: (text: string, wait?: number) =>
      client.events.send(id, [{ type: 'user.message', content: [{ type: 'text', text }] }], wait === undefined ? {} : { wait }),
    interrupt: () => client.events.send(id, [{ type: 'user.interrupt' }]),
    until: (condition: (events: readonly SessionEvent[]) => boolean, what: string) =>
      waitFor(async () => condition(await events()), { timeoutMs: 10_000, what }),
    async [Symbol.asyncDispose]() {
      await server.stop();
      await rm(ownDir, { recursive: true, force: true });
    },
  };
}

const outcomes = (events: readonly SessionEvent[]) => events.flatMap((event) => (event.type === 'turn.ended' ? [event.outcome] : []));
const said = (events: readonly SessionEvent[]) =>
  events.flatMap((event) => (event.type === 'agent.message' ? [event.content.map((block) => block.text).join('')] : []));
const isRunning = (events: readonly SessionEvent[]) => events.some((event) => event.type === 'session.status_running');

describe('a message that comes while the agent works', () => {
  it('waits for its turn, unless the agent says otherwise', async () => {
    await using bench = await setup(undefined);
    assert.equal(bench.agent.follow_up, 'queue');
    await bench.send('[[slow 10 30]]');
    await bench.until(isRunning, 'the first turn to run');
    const { turn } = await bench.send('and then?', 10);
    assert.equal(turn?.outcome, 'completed');
    const events = await bench.events();
    assert.deepEqual(outcomes(events), ['completed', 'completed']);
    assert.match(said(events).at(-1) ?? '', /^echo: and then\? \| turns=2/);
  });

  it('is handed to the running turn and shares its outcome', async () => {
    await using bench = await setup('steer');
    await bench.send('[[slow 20 30]]');
    await bench.until(isRunning, 'the first turn to run');
    const { turn } = await bench.send('in green', 10);
    assert.equal(turn?.outcome, 'completed');
    const events = await bench.events();
    assert.deepEqual(outcomes(events), ['completed', 'completed']);
    assert.match(said(events).join(''), /piece19.* and: in green$/);
    assert.equal(events.filter((event) => event.type === 'session.status_running').length, 1);
    assert.ok(events.every((event) => event.type !== 'user.message' || event.processed_at !== null));
    assert.equal(events.at(-1)?.type, 'session.status_idle');
  });

  it('is not lost with the sandbox it was handed to', async () => {
    await using bench = await setup('steer');
    await bench.send('[[slow 10 30]] [[late exit]]');
    await bench.until(isRunning, 'the first turn to run');
    const { turn } = await bench.send('in green', 10);
    assert.equal(turn?.outcome, 'completed');
    const events = await bench.events();
    assert.deepEqual(outcomes(events), ['interrupted', 'completed']);
    assert.match(said(events).at(-1) ?? '', /^echo: in green/);
  });

  it('is stopped with the turn it was handed to', async () => {
    await using bench = await setup('steer');
    await bench.send('[[hang]]');
    await bench.until(isRunning, 'the first turn to run');
    await bench.send('in green');
    await bench.interrupt();
    await bench.until((events) => outcomes(events).length === 2, 'both to end');
    const events = await bench.events();
    const stopped = outcomes(events);
    assert.equal(stopped[0], 'cancelled');
    assert.ok(stopped[1] === 'cancelled' || stopped[1] === 'completed', stopped[1]);
  });

  it('is refused when the agent takes one at a time, and taken again when it is free', async () => {
    await using bench = await setup('refuse');
    await bench.send('[[slow 20 30]]');
    await assert.rejects(
      bench.send('and?'),
      (error) => error instanceof ClientError && error.status === 409 && error.code === 'session_busy',
    );
    await bench.until((events) => outcomes(events).length === 1, 'the first to end');
    assert.equal((await bench.send('and?', 10)).turn?.outcome, 'completed');
    assert.equal((await bench.events()).filter((event) => event.type === 'user.message').length, 2);
  });
});
