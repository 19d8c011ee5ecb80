import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { type Client, ClientError, createClient, type SessionEvent } from '@cloister/api';
import { loadConfig } from '../../src/config.ts';
import { startServer } from '../../src/main.ts';
import { waitFor } from '../support/wait-for.ts';

const KEY = 'clst_key-of-the-turn-tests';
const MS = 10_000;

interface Bench extends AsyncDisposable {
  readonly client: Client;
  newSession(policy?: 'always_allow' | 'always_ask'): Promise<string>;
  events(sessionId: string): Promise<readonly SessionEvent[]>;
  /** How many sandboxes live. */
  sandboxes(): Promise<number>;
  /** Waits for the question and answers its event id. */
  question(sessionId: string): Promise<string>;
}

/** A whole server in this process, on the fake runtime and a store in memory. */
async function setup(env: Record<string, string> = {}): Promise<Bench> {
  const ownDir = await mkdtemp(path.join(os.tmpdir(), 'cloister-turns-'));
  const server = await startServer(
    loadConfig({
      CLOISTER_RUNTIME: 'fake',
      CLOISTER_STORE: 'memory',
      DATA_DIR: ownDir,
      PORT: '0',
      CLOISTER_ADMIN_KEY: KEY,
      LOG_LEVEL: 'silent',
      WARM_POOL_MAX: '0',
      ...env,
    }),
  );
  const client = createClient({ url: server.url, key: KEY });
  const environmentId = (await client.environments.list()).data[0]?.id ?? '';
  const events = async (sessionId: string) => (await client.events.list(sessionId, { limit: 1000 })).data;
  return {
    client,
    events,
    async sandboxes() {
      const page: unknown = await (await fetch(`${server.url}/v1/sandboxes`, { headers: { 'x-api-key': KEY } })).json();
      return typeof page === 'object' && page !== null && 'data' in page && Array.isArray(page.data) ? page.data.length : Number.NaN;
    },
    async newSession(policy = 'always_allow') {
      const agent = await client.agents.create({
        name: policy,
        model: 'demo',
        tools: [{ type: 'agent_toolset_20260401', default_config: { permission_policy: { type: policy } } }],
      });
      return (await client.sessions.create({ agent: agent.id, environment_id: environmentId })).id;
    },
    question: (sessionId) =>
      waitFor(
        async () => {
          const idle = (await events(sessionId)).findLast((event) => event.type === 'session.status_idle');
          return idle?.type === 'session.status_idle' && idle.stop_reason.type === 'requires_action'
            ? idle.stop_reason.event_ids[0]
            : undefined;
        },
        { timeoutMs: MS, what: 'the question' },
      ),
    async [Symbol.asyncDispose]() {
      await server.stop();
      await rm(ownDir, { recursive: true, force: true });
    },
  };
}

const say = (bench: Bench, sessionId: string, text: string, wait?: number) =>
  bench.client.events.send(sessionId, [{ type: 'user.message', content: text }], wait === undefined ? {} : { wait });
const texts = (events: readonly SessionEvent[]): string =>
  events.map((event) => (event.type === 'agent.message' ? event.content.map((block) => block.text).join('') : '')).join('\n');

describe('turns and their sandboxes', () => {
  it('a turn that waits for an answer gives its sandbox to one that can work, and goes on later', async () => {
    await using bench = await setup({ MAX_CONCURRENT_SANDBOXES: '1' });
    const waiting = await bench.newSession('always_ask');
    const other = await bench.newSession();
    await say(bench, waiting, '[[tool bash {"command":"ls"}]]');
    const question = await bench.question(waiting);
    assert.equal((await say(bench, other, 'hello', 10)).turn?.outcome, 'completed', 'the other session is served meanwhile');
    await bench.client.events.send(waiting, [{ type: 'user.tool_confirmation', tool_use_id: question, result: 'allow' }]);
    const end = await waitFor(async () => (await bench.events(waiting)).find((event) => event.type === 'turn.ended'), {
      timeoutMs: MS,
      what: 'the end',
    });
    assert.equal(end.type === 'turn.ended' && end.outcome, 'completed');
    assert.match(texts(await bench.events(waiting)), /approved: bash \{"command":"ls"\}/, 'the agent is told the decision');
  });

  it('a question that nobody answers for a while keeps no sandbox, and can still be answered', async () => {
    await using bench = await setup({ SANDBOX_IDLE_SECONDS: '1', TURN_TIMEOUT_SECONDS: '2' });
    const id = await bench.newSession('always_ask');
    await say(bench, id, '[[tool bash {"command":"ls"}]]');
    const question = await bench.question(id);
    await waitFor(async () => ((await bench.client.status()).turns.running === 0 && (await bench.sandboxes()) === 0 ? true : undefined), {
      timeoutMs: MS,
      what: 'the sandbox to be given up',
    });
    assert.equal((await bench.client.sessions.get(id)).status, 'idle');
    await bench.client.events.send(id, [
      { type: 'user.tool_confirmation', tool_use_id: question, result: 'deny', deny_message: 'too late' },
    ]);
    const end = await waitFor(async () => (await bench.events(id)).find((event) => event.type === 'turn.ended'), {
      timeoutMs: MS,
      what: 'the end',
    });
    assert.equal(end.type === 'turn.ended' && end.outcome, 'completed');
    assert.match(texts(await bench.events(id)), /denied: bash .* \(too late\)/);
  });

  it('an idle sandbox makes room for another session, and its own remembers', async () => {
    await using bench = await setup({ MAX_CONCURRENT_SANDBOXES: '1' });
    const [first, second] = [await bench.newSession(), await bench.newSession()];
    await say(bench, first, 'one', 10);
    await say(bench, second, 'two', 10);
    const { turn, events } = await say(bench, first, 'three', 10);
    assert.equal(turn?.outcome, 'completed');
    assert.match(texts(events ?? []), /turns=2/);
  });

  it('a hundred messages to ten sessions run one at a time in each, in order, none lost', async () => {
    await using bench = await setup({ MAX_CONCURRENT_SANDBOXES: '4' });
    const sessions = await Promise.all(Array.from({ length: 10 }, () => bench.newSession()));
    await Promise.all(
      sessions.map(async (id) => {
        for (let n = 0; n < 10; n++) await say(bench, id, `message ${n}`);
      }),
    );
    for (const id of sessions) {
      const events = await waitFor(
        async () => {
          const all = await bench.events(id);
          return all.filter((event) => event.type === 'turn.ended').length === 10 ? all : undefined;
        },
        { timeoutMs: 60_000, what: 'all turns to end' },
      );
      const asked = events.filter((event) => event.type === 'user.message').map((event) => event.id);
      const ended = events.filter((event) => event.type === 'turn.ended');
      assert.deepEqual(
        ended.map((event) => event.event_id),
        asked,
        'in the order of the messages',
      );
      assert.ok(ended.every((event) => event.outcome === 'completed'));
      assert.deepEqual(
        events.map((event) => event.seq),
        events.map((_, index) => index + 1),
      );
      assert.match(texts(events), /message 9 \| turns=10/, 'one after the other, in one conversation');
    }
  });

  it('a turn that hangs is stopped when its time is over', async () => {
    await using bench = await setup({ TURN_TIMEOUT_SECONDS: '1' });
    const { turn } = await say(bench, await bench.newSession(), '[[hang]]', 20);
    assert.equal(turn?.outcome, 'failed');
    assert.equal(turn?.error?.code, 'turn_timeout');
  });

  it('a sandbox that dies is told apart from one that runs out of memory, and the session goes on', async () => {
    await using bench = await setup({ MAX_TURN_ATTEMPTS: '1' });
    const id = await bench.newSession();
    const died = await say(bench, id, '[[exit]]', 20);
    assert.deepEqual([died.turn?.outcome, died.turn?.error?.code], ['interrupted', 'sandbox_exited']);
    const starved = await say(bench, id, '[[oom]]', 20);
    assert.deepEqual([starved.turn?.outcome, starved.turn?.error?.code], ['failed', 'sandbox_out_of_memory']);
    const failed = await say(bench, id, '[[fail]]', 20);
    assert.deepEqual([failed.turn?.outcome, failed.turn?.error?.code], ['failed', 'harness_failed']);
    assert.match(texts((await say(bench, id, 'and now?', 20)).events ?? []), /turns=4/);
  });

  it('a stop takes the turn that is next when none runs yet', async () => {
    await using bench = await setup({ MAX_CONCURRENT_SANDBOXES: '1' });
    const [busy, queued] = [await bench.newSession(), await bench.newSession()];
    await say(bench, busy, '[[slow 40 50]]');
    await say(bench, queued, 'never mind');
    await bench.client.events.send(queued, [{ type: 'user.interrupt' }]);
    const events = await bench.events(queued);
    const end = events.find((event) => event.type === 'turn.ended');
    assert.equal(end?.type === 'turn.ended' && end.outcome, 'cancelled');
    assert.equal(events.at(-1)?.type, 'session.status_idle');
  });

  it('a stop in the first moment of a cold turn lets the next message run', async () => {
    await using bench = await setup();
    const id = await bench.newSession();
    await say(bench, id, '[[hang]]');
    await say(bench, id, 'second');
    await bench.client.events.send(id, [{ type: 'user.interrupt' }]);
    const ended = await waitFor(
      async () => {
        const all = (await bench.events(id)).filter((event) => event.type === 'turn.ended');
        return all.length === 2 ? all : undefined;
      },
      { timeoutMs: MS, what: 'both turns to end' },
    );
    assert.deepEqual(
      ended.map((event) => event.outcome),
      ['cancelled', 'completed'],
    );
  });

  it('takes nothing more once it is told to stop, says when to come again, and lets what runs finish', async () => {
    const bench = await setup({ DRAIN_SECONDS: '20' });
    const id = await bench.newSession();
    const running = say(bench, id, '[[slow 20 50]]', 20);
    await waitFor(async () => (await bench.events(id)).some((event) => event.type === 'session.status_running'), {
      timeoutMs: MS,
      what: 'the turn to run',
    });
    const stopped = bench[Symbol.asyncDispose]();
    const refusal = await say(bench, id, 'too late').catch((error: unknown) => error);
    assert.ok(refusal instanceof ClientError);
    assert.deepEqual([refusal.status, refusal.code], [503, 'draining']);
    assert.equal((await bench.client.health()).status, 'unhealthy');
    assert.equal((await running).turn?.outcome, 'completed');
    await stopped;
  });

  it('hands a turn back when it is told to stop, and runs it again in its next life', async () => {
    const dataDir = await mkdtemp(path.join(os.tmpdir(), 'cloister-turns-'));
    try {
      const env = { CLOISTER_STORE: 'sqlite', DATA_DIR: dataDir, DRAIN_SECONDS: '0' };
      const first = await setup(env);
      const id = await first.newSession();
      await say(first, id, '[[slow 20 50]]');
      await waitFor(async () => (await first.events(id)).some((event) => event.type === 'session.status_running'), {
        timeoutMs: MS,
        what: 'the turn to run',
      });
      await first[Symbol.asyncDispose]();
      await using second = await setup(env);
      const end = await waitFor(async () => (await second.events(id)).find((event) => event.type === 'turn.ended'), {
        timeoutMs: MS,
        what: 'the end',
      });
      assert.equal(end.type === 'turn.ended' && end.outcome, 'completed');
      assert.equal((await second.events(id)).filter((event) => event.type === 'session.status_rescheduled').length, 1);
    } finally {
      await rm(dataDir, { recursive: true, force: true });
    }
  });
});
