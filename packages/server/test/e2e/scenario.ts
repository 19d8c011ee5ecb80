import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { type FakeModel, startFakeModel } from '@cloister/fake-model';
import { containersOf, docker, dockerPrints, engineMissing } from '../support/engine.ts';
import { ADMIN_KEY, type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

export interface ScenarioOptions {
  readonly name: string;
  readonly harness: string;
  readonly model: string;
  /** Settings by which the server reaches the fake model, whose key is `key`. */
  readonly env: (model: FakeModel, key: string) => Record<string, string>;
  /** The harness's own name of the shell tool, as its model calls it. */
  readonly shell: string;
}

type Event = Anthropic.Beta.Sessions.BetaManagedAgentsSessionEvent;
/** Event types and fields that are our extensions, unknown to the SDK's types. */
interface Ended {
  readonly type: 'turn.ended';
  readonly outcome: string;
  readonly error: { readonly code: string } | null;
}

const PROVIDER_KEY = 'sk-real-provider-key-that-must-stay-outside';
const TURN_MS = 60_000;

/** The main job, whole, on real parts: the official SDK, the real engine, the real agent, a model that refuses any other key. */
export function agentScenario(options: ScenarioOptions): void {
  describe(`the whole way with ${options.name}`, () => {
    let skip: string | false = false;
    let model: FakeModel;
    let server: ServerProcess;
    let client: Anthropic;
    let environmentId: string;

    before(async () => {
      skip = await engineMissing();
      if (skip !== false) return;
      model = await startFakeModel({ requireKey: PROVIDER_KEY });
      server = await startServerProcess({
        env: {
          CLOISTER_HARNESS: options.harness,
          CLOISTER_MODEL: options.model,
          RETRY_BASE_SECONDS: '0',
          MAX_TURN_ATTEMPTS: '2',
          ...options.env(model, PROVIDER_KEY),
        },
        readyMs: 300_000,
      });
      client = new Anthropic({ apiKey: ADMIN_KEY, baseURL: server.url, maxRetries: 0 });
      environmentId = (await client.beta.environments.create({ name: 'e2e' })).id;
    });
    after(async () => {
      await server?.[Symbol.asyncDispose]();
      await model?.close();
    });

    const test = (name: string, run: () => Promise<void>): void => {
      void it(name, async (t) => {
        if (skip !== false) return t.skip(skip);
        await run();
      });
    };

    async function newSession(policy: 'always_allow' | 'always_ask' = 'always_allow'): Promise<string> {
      const agent = await client.beta.agents.create({
        name: `e2e ${policy}`,
        model: options.model,
        tools: [{ type: 'agent_toolset_20260401', default_config: { permission_policy: { type: policy } } }],
      });
      return (await client.beta.sessions.create({ agent: agent.id, environment_id: environmentId })).id;
    }

    const send = (sessionId: string, text: string) =>
      client.beta.sessions.events.send(sessionId, { events: [{ type: 'user.message', content: [{ type: 'text', text }] }] });
    const events = async (sessionId: string): Promise<Event[]> => {
      const all: Event[] = [];
      for await (const event of client.beta.sessions.events.list(sessionId, { limit: 500 })) all.push(event);
      return all;
    };
    const ofType = async <T extends Event['type']>(sessionId: string, type: T): Promise<Extract<Event, { type: T }>[]> =>
      (await events(sessionId)).filter((event): event is Extract<Event, { type: T }> => event.type === type);
    const ended = async (sessionId: string): Promise<Ended[]> =>
      (await events(sessionId)).map((event) => event as unknown as Ended).filter((event) => event.type === 'turn.ended');
    const nthEnd = (sessionId: string, n: number): Promise<Ended> =>
      waitFor(async () => (await ended(sessionId))[n - 1], { timeoutMs: TURN_MS, what: `the end of turn ${n}` });
    const said = async (sessionId: string): Promise<string> =>
      (await ofType(sessionId, 'agent.message'))
        .map((event) => event.content.map((block) => (block.type === 'text' ? block.text : '')).join(''))
        .join('\n');
    const shellCall = (command: string): string => `[[tool ${options.shell} ${JSON.stringify({ command })}]]`;
    const restart = async (): Promise<void> => {
      await server.kill('SIGKILL');
      await server.start();
    };

    test('streams text as it is written, then the event itself', async () => {
      const sessionId = await newSession();
      const stream = await client.beta.sessions.events.stream(sessionId, { event_deltas: ['agent.message'] });
      await send(sessionId, '[[slow 5 20]]');
      const seen: string[] = [];
      let preview = '';
      let previewId = '';
      for await (const event of stream) {
        seen.push(event.type);
        if (event.type === 'event_start' && event.event.type === 'agent.message') previewId = event.event.id;
        if (event.type === 'event_delta') preview += event.delta.content.text;
        if (event.type === 'agent.message') {
          assert.equal(event.id, previewId);
          assert.equal(event.content.map((block) => (block.type === 'text' ? block.text : '')).join(''), preview);
        }
        if (event.type === 'session.status_idle') break;
      }
      assert.match(preview, /chunk0 chunk1 chunk2 chunk3 chunk4/);
      assert.ok(seen.filter((type) => type === 'event_delta').length >= 3, 'in several pieces');
      assert.ok(seen.indexOf('event_delta') < seen.indexOf('agent.message'));
      const usage = await client.beta.sessions.retrieve(sessionId);
      assert.ok((usage.usage.input_tokens ?? 0) > 0 && (usage.usage.output_tokens ?? 0) > 0, 'usage is metered');
      assert.ok((await ofType(sessionId, 'span.model_request_end')).some((event) => event.model_usage.output_tokens > 0));
    });

    test('works in the workspace, and remembers', async () => {
      const sessionId = await newSession();
      await send(sessionId, shellCall('echo made > made.txt; id -u'));
      assert.equal((await nthEnd(sessionId, 1)).outcome, 'completed');
      assert.equal(await readFile(path.join(server.dataDir, 'sessions', sessionId, 'workspace', 'made.txt'), 'utf8'), 'made\n');
      const [use] = await ofType(sessionId, 'agent.tool_use');
      assert.equal(use?.name, 'bash');
      assert.equal(use?.evaluated_permission, 'allow');
      const [result] = await ofType(sessionId, 'agent.tool_result');
      assert.equal(result?.tool_use_id, use?.id);
      await send(sessionId, 'and now?');
      await nthEnd(sessionId, 2);
      assert.match(await said(sessionId), /and now\? \| turns=[2-9]/);
    });

    test('asks, waits, and does what it is told', async () => {
      const sessionId = await newSession('always_ask');
      const ask = async (n: number): Promise<string> => {
        const idle = await waitFor(
          async () =>
            (await ofType(sessionId, 'session.status_idle')).filter((event) => event.stop_reason.type === 'requires_action')[n - 1],
          { timeoutMs: TURN_MS, what: 'the question' },
        );
        assert.ok(idle.stop_reason.type === 'requires_action');
        return idle.stop_reason.event_ids[0] ?? '';
      };
      const answer = (id: string, result: 'allow' | 'deny') =>
        client.beta.sessions.events.send(sessionId, {
          events: [{ type: 'user.tool_confirmation', tool_use_id: id, result, ...(result === 'deny' ? { deny_message: 'not now' } : {}) }],
        });
      await send(sessionId, shellCall('echo one > asked.txt'));
      await answer(await ask(1), 'allow');
      assert.equal((await nthEnd(sessionId, 1)).outcome, 'completed');
      assert.equal(await readFile(path.join(server.dataDir, 'sessions', sessionId, 'workspace', 'asked.txt'), 'utf8'), 'one\n');
      await send(sessionId, shellCall('echo two > asked.txt'));
      await answer(await ask(2), 'deny');
      await nthEnd(sessionId, 2);
      assert.equal(await readFile(path.join(server.dataDir, 'sessions', sessionId, 'workspace', 'asked.txt'), 'utf8'), 'one\n');
      assert.equal((await ofType(sessionId, 'agent.tool_result')).at(-1)?.is_error, true);

      await send(sessionId, shellCall('echo three > asked.txt'));
      const third = await ask(3);
      await restart();
      assert.equal((await client.beta.sessions.retrieve(sessionId)).status, 'idle');
      await answer(third, 'allow');
      assert.equal((await nthEnd(sessionId, 3)).outcome, 'completed', 'the answer reaches the turn across a kill');
    });

    test('stops within a second, upstream too', async () => {
      const sessionId = await newSession();
      await send(sessionId, '[[slow 600 100]]');
      await waitFor(() => model.activeStreams() > 0, { timeoutMs: TURN_MS, what: 'the model to stream' });
      const began = performance.now();
      await client.beta.sessions.events.send(sessionId, { events: [{ type: 'user.interrupt' }] });
      assert.equal((await nthEnd(sessionId, 1)).outcome, 'cancelled');
      await waitFor(() => model.activeStreams() === 0, { timeoutMs: 2000, what: 'the upstream call to end' });
      assert.ok(performance.now() - began < 2000, 'felt at once');
      await send(sessionId, 'still there?');
      assert.equal((await nthEnd(sessionId, 2)).outcome, 'completed');
    });

    test('survives kill -9 between turns and in the middle of one', async () => {
      const sessionId = await newSession();
      await send(sessionId, 'first');
      await nthEnd(sessionId, 1);
      await restart();
      await send(sessionId, 'second');
      await nthEnd(sessionId, 2);
      assert.match(await said(sessionId), /second \| turns=[2-9]/, 'memory survives a kill between turns');

      await send(sessionId, '[[slow 30 100]]');
      await waitFor(() => model.activeStreams() > 0, { timeoutMs: TURN_MS, what: 'the model to stream' });
      await restart();
      assert.equal((await nthEnd(sessionId, 3)).outcome, 'completed', 'no tool had run, so the turn is run again');

      await send(sessionId, shellCall('echo x >> once.txt; sleep 60'));
      await waitFor(() => readFile(path.join(server.dataDir, 'sessions', sessionId, 'workspace', 'once.txt')).catch(() => undefined), {
        timeoutMs: TURN_MS,
        what: 'the tool to run',
      });
      await restart();
      const fourth = await nthEnd(sessionId, 4);
      assert.equal(fourth.outcome, 'interrupted');
      assert.equal(fourth.error?.code, 'turn_interrupted');
      assert.equal(
        await readFile(path.join(server.dataDir, 'sessions', sessionId, 'workspace', 'once.txt'), 'utf8'),
        'x\n',
        'never silently again',
      );
      await send(sessionId, 'what was that?');
      await nthEnd(sessionId, 5);
      assert.match(await said(sessionId), /what was that\? \| turns=[4-9]/, 'the session goes on with its memory');
    });

    test('takes a message into the running turn', async () => {
      // An extension field, which the official types do not know.
      const extension = { follow_up: 'steer' } as const;
      const agent = await client.beta.agents.create({ name: 'e2e steer', model: options.model, ...extension });
      const { id: sessionId } = await client.beta.sessions.create({ agent: agent.id, environment_id: environmentId });
      await send(sessionId, shellCall('while ! test -e go; do sleep 0.1; done'));
      await waitFor(async () => (await ofType(sessionId, 'agent.tool_use'))[0], { timeoutMs: TURN_MS, what: 'the tool to run' });
      await send(sessionId, 'and [[text banana]]');
      await writeFile(path.join(server.dataDir, 'sessions', sessionId, 'workspace', 'go'), '');
      await nthEnd(sessionId, 2);
      assert.deepEqual(
        (await ended(sessionId)).map(({ outcome }) => outcome),
        ['completed', 'completed'],
      );
      assert.match(await said(sessionId), /banana/);
      assert.equal((await ofType(sessionId, 'session.status_running')).length, 1, 'one run for both');
    });

    // The others come by theirs in the same way; this one's start takes longest.
    const testOfClaude = options.harness === 'claude' ? test : () => undefined;

    testOfClaude('hands a sandbox that stood ready to a new session, which outlives it', async () => {
      await server.kill('SIGTERM');
      await server.start({ WARM_POOL_MAX: '1' });
      const get = async (route: string) => (await fetch(`${server.url}${route}`, { headers: { 'x-api-key': ADMIN_KEY } })).text();
      // An extension field, which the official types do not know.
      const extension = { type: 'container', warm: 1 } as unknown as { type: 'cloud' };
      const { id: environment } = await client.beta.environments.create({ name: 'pooled', config: extension });
      const agent = await client.beta.agents.create({
        name: 'e2e pooled',
        model: options.model,
        tools: [{ type: 'agent_toolset_20260401', default_config: { permission_policy: { type: 'always_allow' } } }],
      });
      const create = async () => (await client.beta.sessions.create({ agent: agent.id, environment_id: environment })).id;
      await send(await create(), 'the first one is cold');
      await waitFor(async () => (await get('/metrics')).includes('cloister_warm_sandboxes{state="ready"} 1'), {
        timeoutMs: 2 * TURN_MS,
        what: 'a sandbox to stand ready',
      });
      const sessionId = await create();
      await send(sessionId, shellCall('pwd > made.txt'));
      assert.equal((await nthEnd(sessionId, 1)).outcome, 'completed');
      assert.match(await get('/metrics'), /^cloister_warm_claims_total\{outcome="hit",reason="hit"\} 1$/m);
      assert.equal(await readFile(path.join(server.dataDir, 'sessions', sessionId, 'workspace', 'made.txt'), 'utf8'), '/workspace\n');
      // With its server goes its sandbox.
      await restart();
      await send(sessionId, 'and now?');
      await nthEnd(sessionId, 2);
      assert.match(await said(sessionId), /and now\? \| turns=[2-9]/, 'the conversation is in the files of the session');
    });

    test('tells exactly what was wrong with the model', async () => {
      const sessionId = await newSession();
      await send(sessionId, '[[error 529]]');
      const end = await nthEnd(sessionId, 1);
      assert.equal(end.outcome, 'failed');
      assert.equal(end.error?.code, 'model_overloaded');
      const [error] = await ofType(sessionId, 'session.error');
      assert.equal(error?.error.type, 'model_overloaded_error');
    });

    test('keeps the key outside, and leaves no sandbox behind', async () => {
      const sessionId = await newSession();
      await send(sessionId, shellCall('cat /proc/self/environ | tr "\\0" "\\n"; ls -la /run/cloister'));
      await nthEnd(sessionId, 1);
      const [container] = await containersOf(`cloister.session=${sessionId}`);
      assert.ok(container !== undefined, 'the idle sandbox is there to look at');
      for (const [where, text] of [
        ['inspect', await docker('inspect', container)],
        ['environment', await docker('exec', container, 'sh', '-c', 'cat /proc/*/environ 2>/dev/null; env')],
        [
          'home and workspace',
          await docker(
            'exec',
            container,
            'sh',
            '-c',
            'cat /home/agent/.* /home/agent/* 2>/dev/null; find /home/agent /workspace /tmp -type f -exec cat {} + 2>/dev/null',
          ),
        ],
        ['log', await docker('logs', container).catch(() => '')],
      ] as const)
        assert.ok(!text.includes(PROVIDER_KEY), `the key is in the container's ${where}`);
      assert.equal(await dockerPrints('node', 'export', container), true, 'the search of the file system works');
      assert.equal(await dockerPrints(PROVIDER_KEY, 'export', container), false, "the key is in the container's file system");
      assert.ok(!JSON.stringify(await events(sessionId)).includes(PROVIDER_KEY));
      assert.ok(!server.output().includes(PROVIDER_KEY), 'the key is not in the log');
      const calls = model.requests().filter((request) => request.method === 'POST');
      assert.ok(calls.length > 0);
      await restart();
      await waitFor(async () => (await containersOf(`cloister.session=${sessionId}`)).length === 0, {
        timeoutMs: 30_000,
        what: 'the orphan to be removed',
      });
      assert.equal(await server.kill('SIGTERM'), 0, 'a clean stop');
      await server.start();
    });
  });
}
