import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Client, createClient, type SessionEvent } from '@cloister/api';
import { loadConfig } from '../../src/config.ts';
import { type RunningServer, startServer } from '../../src/main.ts';
import { type PostgresStores, skipWithoutPostgres, startPostgresStores } from '../support/postgres-stores.ts';
import { waitFor } from '../support/wait-for.ts';

const KEY = 'clst_key-of-the-two-servers';
const MS = 15_000;

describe('two servers on one PostgreSQL', { skip: skipWithoutPostgres, timeout: 120_000 }, () => {
  let stores: PostgresStores;
  let dir: string;
  const servers: RunningServer[] = [];
  let one: Client;
  let other: Client;

  const start = (name: string, url: string) =>
    startServer(
      loadConfig({
        CLOISTER_RUNTIME: 'fake',
        DATABASE_URL: url,
        DATA_DIR: path.join(dir, name),
        PORT: '0',
        CLOISTER_ADMIN_KEY: KEY,
        LOG_LEVEL: 'silent',
        DRAIN_SECONDS: '2',
      }),
    );

  before(async () => {
    dir = await mkdtemp(path.join(os.tmpdir(), 'cloister-two-'));
    stores = await startPostgresStores();
    const url = await stores.postgres.createDatabase();
    // At once, on an empty database.
    servers.push(...(await Promise.all([start('one', url), start('other', url)])));
    [one, other] = servers.map((server) => createClient({ url: server.url, key: KEY })) as [Client, Client];
  });
  after(async () => {
    await Promise.all(servers.map((server) => server.stop()));
    await stores.close();
    await rm(dir, { recursive: true, force: true });
  });

  async function newSession(policy: 'always_allow' | 'always_ask' = 'always_allow'): Promise<string> {
    const environmentId = (await one.environments.list()).data[0]?.id ?? '';
    const agent = await one.agents.create({
      name: policy,
      model: 'demo',
      tools: [{ type: 'agent_toolset_20260401', default_config: { permission_policy: { type: policy } } }],
    });
    return (await one.sessions.create({ agent: agent.id, environment_id: environmentId })).id;
  }

  const say = (client: Client, sessionId: string, content: string, wait?: number) =>
    client.events.send(sessionId, [{ type: 'user.message', content }], wait === undefined ? {} : { wait });
  const eventsOf = async (sessionId: string) => (await one.events.list(sessionId, { limit: 1000 })).data;
  const running = (sessionId: string) =>
    waitFor(
      async () =>
        (await eventsOf(sessionId)).some(
          ({ type }) => type === 'agent.message' || type === 'span.model_request_start' || type === 'session.status_running',
        ),
      {
        timeoutMs: MS,
        what: 'the turn to run',
      },
    );

  it('that start together on an empty database make one of each default', async () => {
    assert.equal((await one.agents.list()).data.filter(({ name }) => name === 'default').length, 1);
    assert.equal((await other.environments.list()).data.length, 1);
  });

  it('a message through one ends a wait at either', async () => {
    const sessionId = await newSession();
    for (const client of [one, other, one, other]) {
      const { turn } = await say(client, sessionId, 'hello', 10);
      assert.equal(turn?.outcome, 'completed');
    }
    const log = await eventsOf(sessionId);
    assert.equal(log.filter(({ type }) => type === 'turn.ended').length, 4);
  });

  it('a stream at each shows all, once and in order, with previews', async () => {
    const sessionId = await newSession();
    const abort = new AbortController();
    const seen: SessionEvent[][] = [[], []];
    const previews = [0, 0];
    const following = [one, other].map(async (client, index) => {
      try {
        for await (const item of client.events.stream(sessionId, { after: 0, deltas: ['agent.message'], signal: abort.signal })) {
          if (item.type === 'event') seen[index]?.push(item.event);
          else previews[index] = (previews[index] ?? 0) + 1;
        }
      } catch (error) {
        if (!abort.signal.aborted) throw error;
      }
    });
    for (let round = 0; round < 3; round++) await say(round % 2 === 0 ? one : other, sessionId, '[[slow 5 60]]', 20);
    const log = await eventsOf(sessionId);
    await waitFor(() => seen.every((events) => events.length >= log.length), { timeoutMs: MS, what: 'both streams to show all' });
    abort.abort();
    await Promise.all(following);
    for (const events of seen)
      assert.deepEqual(
        events.map(({ id }) => id),
        log.map(({ id }) => id),
      );
    for (const count of previews) assert.ok(count > 0, `previews at both: ${previews.join()}`);
  });

  it('an interrupt through either stops the turn at once', async () => {
    for (const client of [one, other]) {
      const sessionId = await newSession();
      await say(one, sessionId, '[[hang]]');
      await running(sessionId);
      const began = performance.now();
      await client.events.send(sessionId, [{ type: 'user.interrupt' }]);
      await waitFor(async () => (await eventsOf(sessionId)).some(({ type }) => type === 'turn.ended'), { timeoutMs: MS, what: 'the end' });
      assert.ok(performance.now() - began < 4000, 'not only with the next heartbeat');
    }
  });

  it('an answer through either reaches the turn that asks', async () => {
    for (const client of [one, other]) {
      const sessionId = await newSession('always_ask');
      await say(one, sessionId, '[[tool bash {"command":"ls"}]]');
      const question = await waitFor(async () => (await eventsOf(sessionId)).find(({ type }) => type === 'agent.tool_use')?.id, {
        timeoutMs: MS,
        what: 'the question',
      });
      await waitFor(async () => (await eventsOf(sessionId)).some(({ type }) => type === 'session.status_idle'), {
        timeoutMs: MS,
        what: 'the wait',
      });
      await client.events.send(sessionId, [{ type: 'user.tool_confirmation', tool_use_id: question, result: 'allow' }]);
      await waitFor(async () => (await eventsOf(sessionId)).some(({ type }) => type === 'turn.ended'), {
        timeoutMs: 4000,
        what: 'the end',
      });
    }
  });
});
