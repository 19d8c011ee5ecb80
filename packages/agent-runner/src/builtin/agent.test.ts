import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { RequestError, type SessionUpdate } from '@agentclientprotocol/sdk';
import { type FakeModel, startFakeModel } from '@cloister/fake-model';
import { createTestSandbox, type PermissionHandler, startTestAgent, type TestAgent, type TestSandbox } from '../testing/agent-process.ts';

const SOURCE = path.join(import.meta.dirname, 'main.ts');
const TOOLS = ['bash', 'read', 'write', 'edit', 'glob', 'grep'];

let model: FakeModel;
before(async () => {
  model = await startFakeModel();
});
after(() => model.close());

interface ConfigChange {
  readonly provider?: string;
  readonly policy?: 'allow' | 'ask';
  readonly [key: string]: unknown;
}

function meta({ policy = 'allow', ...change }: ConfigChange = {}) {
  const tools = Object.fromEntries(TOOLS.map((name) => [name, { enabled: true, policy }]));
  return { cloister: { provider: 'anthropic', model: 'claude-test', system: null, tools, ...change } };
}

async function open(agent: TestAgent, sandbox: TestSandbox, change?: ConfigChange): Promise<string> {
  const opened = await agent.client.request('session/new', { cwd: sandbox.workspace, mcpServers: [], _meta: meta(change) });
  return opened.sessionId;
}

const ask = (agent: TestAgent, sessionId: string, text: string) =>
  agent.client.request('session/prompt', { sessionId, prompt: [{ type: 'text', text }] });

async function setup(onPermission?: PermissionHandler) {
  const sandbox = await createTestSandbox(model.port);
  const agent = await startTestAgent(sandbox, { entry: SOURCE, ...(onPermission && { onPermission }) });
  const cleanup = async () => {
    await agent[Symbol.asyncDispose]();
    await sandbox[Symbol.asyncDispose]();
  };
  return { sandbox, agent, [Symbol.asyncDispose]: cleanup };
}

function lastToolUpdate(updates: readonly SessionUpdate[]) {
  const found = updates.findLast((update) => update.sessionUpdate === 'tool_call_update');
  assert.ok(found?.sessionUpdate === 'tool_call_update', 'no tool call was updated');
  return found;
}

async function rejection(promise: Promise<unknown>): Promise<RequestError> {
  const error: unknown = await promise.then(
    () => assert.fail('did not reject'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof RequestError, String(error));
  return error;
}

const toolPrompt = (name: string, input: object) => `[[tool ${name} ${JSON.stringify(input)}]]`;

describe('on every wire', () => {
  for (const provider of ['anthropic', 'openai', 'openai-compatible', 'google', 'deepseek', 'xai', 'demo']) {
    test(`${provider}: text, a tool with its effect, memory across processes`, async () => {
      await using given = await setup();
      const { agent, sandbox } = given;
      const sessionId = await open(agent, sandbox, { provider });
      assert.equal((await ask(agent, sessionId, 'hello')).stopReason, 'end_turn');
      assert.match(agent.text(), /echo: hello \| turns=1/);

      const done = await ask(agent, sessionId, toolPrompt('bash', { command: 'echo made > made.txt && pwd' }));
      assert.equal(done.stopReason, 'end_turn');
      assert.equal(readFileSync(path.join(sandbox.workspace, 'made.txt'), 'utf8'), 'made\n');
      assert.match(agent.text(), /tool said: .*workspace/s);
      agent.child.kill('SIGKILL');
      await agent.exited;

      await using second = await startTestAgent(sandbox, { entry: SOURCE });
      await second.client.request('session/resume', { sessionId, cwd: sandbox.workspace, _meta: meta({ provider }) });
      assert.deepEqual(second.updates, [], 'resume does not replay');
      await ask(second, sessionId, 'again');
      assert.match(second.text(), /echo: again \| turns=3/);
    });
  }
});

test('a tool call is announced, run and reported', async () => {
  await using given = await setup();
  const sessionId = await open(given.agent, given.sandbox);
  await ask(given.agent, sessionId, toolPrompt('bash', { command: 'echo out; echo err >&2; exit 3' }));
  const call = given.agent.updates.find((update) => update.sessionUpdate === 'tool_call');
  assert.ok(call?.sessionUpdate === 'tool_call');
  assert.equal(call.name, 'bash');
  assert.equal(call.kind, 'execute');
  assert.equal(call.status, 'pending');
  assert.deepEqual(call._meta, { cloister: { toolName: 'bash', input: { command: 'echo out; echo err >&2; exit 3' } } });
  const states = given.agent.updates.flatMap((update) => (update.sessionUpdate === 'tool_call_update' ? [update.status] : []));
  assert.deepEqual(states, ['in_progress', 'failed']);
  assert.equal(lastToolUpdate(given.agent.updates).rawOutput, 'out\nerr\n[exit code 3]');
});

test('thoughts stream apart from text, and come back to the model', async () => {
  await using given = await setup();
  const sessionId = await open(given.agent, given.sandbox);
  await ask(given.agent, sessionId, '[[think]] hm');
  const thought = given.agent.updates.find((update) => update.sessionUpdate === 'agent_thought_chunk');
  assert.ok(thought?.sessionUpdate === 'agent_thought_chunk' && thought.content.type === 'text');
  await ask(given.agent, sessionId, 'next');
  assert.match(JSON.stringify(model.requests().at(-1)?.body), /"signature":/);
});

test('images and embedded text reach the model', async () => {
  await using given = await setup();
  const sessionId = await open(given.agent, given.sandbox);
  const data = Buffer.from('89504e470d0a1a0a', 'hex').toString('base64');
  const resource = { uri: 'file:///a.txt', mimeType: 'text/plain', text: 'inner words' };
  const prompt = [
    { type: 'image' as const, mimeType: 'image/png', data },
    { type: 'resource' as const, resource },
    { type: 'text' as const, text: 'look' },
  ];
  await given.agent.client.request('session/prompt', { sessionId, prompt });
  const sent = JSON.stringify(model.requests().at(-1)?.body);
  assert.ok(sent.includes(data) && sent.includes('inner words'), sent);
});

describe('permission', () => {
  const write = toolPrompt('write', { file_path: 'asked.txt', content: 'x' });

  test('asked and allowed: the tool runs', async () => {
    await using given = await setup(async (request) => {
      assert.equal(request.toolCall.name, 'write');
      assert.deepEqual(
        request.options.map(({ optionId, kind }) => [optionId, kind]),
        [
          ['allow', 'allow_once'],
          ['reject', 'reject_once'],
        ],
      );
      return { outcome: { outcome: 'selected', optionId: 'allow' } };
    });
    await ask(given.agent, await open(given.agent, given.sandbox, { policy: 'ask' }), write);
    assert.equal(readFileSync(path.join(given.sandbox.workspace, 'asked.txt'), 'utf8'), 'x');
  });

  test('asked and denied: the tool does not run and the model learns why', async () => {
    await using given = await setup(async () => ({
      outcome: { outcome: 'selected', optionId: 'reject' },
      _meta: { cloister: { denyMessage: 'not today' } },
    }));
    const result = await ask(given.agent, await open(given.agent, given.sandbox, { policy: 'ask' }), write);
    assert.equal(result.stopReason, 'end_turn');
    assert.ok(!existsSync(path.join(given.sandbox.workspace, 'asked.txt')));
    assert.match(given.agent.text(), /tool said: The user denied this tool call: not today/);
    assert.equal(lastToolUpdate(given.agent.updates).status, 'failed');
  });

  test('asked and cancelled: the turn stops', async () => {
    await using given = await setup(async () => ({ outcome: { outcome: 'cancelled' } }));
    const result = await ask(given.agent, await open(given.agent, given.sandbox, { policy: 'ask' }), write);
    assert.equal(result.stopReason, 'cancelled');
    assert.ok(!existsSync(path.join(given.sandbox.workspace, 'asked.txt')));
  });

  test('a tool that is switched off cannot be called', async () => {
    await using given = await setup();
    await ask(given.agent, await open(given.agent, given.sandbox, { tools: { read: { enabled: true, policy: 'allow' } } }), write);
    assert.ok(!existsSync(path.join(given.sandbox.workspace, 'asked.txt')));
    assert.equal(lastToolUpdate(given.agent.updates).status, 'failed');
  });
});

describe('cancel', () => {
  test('stops a slow answer at once, keeps what was said, and the session goes on', async () => {
    await using given = await setup();
    const { agent } = given;
    const sessionId = await open(agent, given.sandbox);
    const aborted = model.abortedStreams();
    const turn = ask(agent, sessionId, '[[slow 200 50]]');
    await agent.until(() => agent.text().includes('chunk2'));
    const at = performance.now();
    await agent.client.notify('session/cancel', { sessionId });
    assert.equal((await turn).stopReason, 'cancelled');
    assert.ok(performance.now() - at < 500);
    await ask(agent, sessionId, 'next');
    assert.match(agent.text(), /turns=2/);
    assert.match(JSON.stringify(model.requests().at(-1)?.body), /chunk0 chunk1/);
    assert.equal(model.abortedStreams(), aborted + 1, 'the model call was hung up on');
  });

  test('kills a running command and all its children', async () => {
    await using given = await setup();
    const { agent, sandbox } = given;
    const sessionId = await open(agent, sandbox);
    const turn = ask(agent, sessionId, toolPrompt('bash', { command: 'sleep 60 & echo $! > child.pid; sleep 60' }));
    await agent.until((updates) => updates.some((update) => 'status' in update && update.status === 'in_progress'));
    const child = await pidIn(path.join(sandbox.workspace, 'child.pid'));
    const at = performance.now();
    await agent.client.notify('session/cancel', { sessionId });
    assert.equal((await turn).stopReason, 'cancelled');
    assert.ok(performance.now() - at < 500);
    await gone(child);
    await ask(agent, sessionId, 'next');
    assert.match(JSON.stringify(model.requests().at(-1)?.body), /interrupted: the call did not finish/);
  });
});

describe('the process', () => {
  test('killed in the middle of a command: the next one remembers the turn', async () => {
    await using given = await setup();
    const { agent, sandbox } = given;
    const sessionId = await open(agent, sandbox);
    await ask(agent, sessionId, 'first');
    const lost = ask(agent, sessionId, toolPrompt('bash', { command: 'sleep 0.5' })).catch((error: unknown) => error);
    await agent.until((updates) => updates.some((update) => 'status' in update && update.status === 'in_progress'));
    agent.child.kill('SIGKILL');
    assert.ok((await lost) instanceof Error);

    await using second = await startTestAgent(sandbox, { entry: SOURCE });
    await second.client.request('session/load', { sessionId, cwd: sandbox.workspace, mcpServers: [], _meta: meta() });
    assert.match(second.text(), /echo: first \| turns=1/);
    assert.equal(lastToolUpdate(second.updates).rawOutput, 'interrupted: the call did not finish');
    await ask(second, sessionId, 'after');
    assert.match(second.text(), /echo: after \| turns=3/);
  });

  test('ends with 0 when stdin ends, also in the middle of a command', async () => {
    await using given = await setup();
    const { agent, sandbox } = given;
    const sessionId = await open(agent, sandbox);
    const turn = ask(agent, sessionId, toolPrompt('bash', { command: 'echo $$ > shell.pid; sleep 60' })).catch((error: unknown) => error);
    const shell = await pidIn(path.join(sandbox.workspace, 'shell.pid'));
    agent.child.stdin?.end();
    assert.deepEqual(await agent.exited, { code: 0, signal: null });
    await gone(shell);
    await turn;
  });
});

describe('failures', () => {
  test('a model that refuses is named with its status', async () => {
    await using given = await setup();
    const sessionId = await open(given.agent, given.sandbox);
    const error = await rejection(ask(given.agent, sessionId, '[[error 529]]'));
    assert.equal(error.code, -32603);
    assert.deepEqual(error.data, { kind: 'model_error', status: 529, message: 'fake 529', retryAfterMs: 0 });
    assert.equal((await ask(given.agent, sessionId, 'better')).stopReason, 'end_turn');
  });

  for (const provider of ['anthropic', 'openai', 'openai-compatible', 'google']) {
    for (const trouble of ['cut', 'nofinish']) {
      test(`${provider}: an answer that ends early (${trouble}) is a failure`, async () => {
        await using given = await setup();
        const error = await rejection(ask(given.agent, await open(given.agent, given.sandbox, { provider }), `[[${trouble}]] hello`));
        assert.equal((error.data as { kind: string }).kind, 'model_error');
      });
    }
  }

  test('a gateway that is not there is a model error', async () => {
    await using sandbox = await createTestSandbox(model.port);
    await using agent = await startTestAgent({ ...sandbox, socketPath: '/nowhere/gateway.sock' }, { entry: SOURCE });
    const error = await rejection(ask(agent, await open(agent, sandbox), 'hello'));
    assert.match(error.message, /Cannot connect/);
  });

  test('requests that make no sense are refused with their reason', async () => {
    await using given = await setup();
    const { agent, sandbox } = given;
    for (const sessionId of ['0123', '../../etc/passwd']) {
      assert.equal(
        (await rejection(agent.client.request('session/resume', { sessionId, cwd: sandbox.workspace, _meta: meta() }))).code,
        -32002,
      );
    }
    assert.equal((await rejection(ask(agent, 'unknown', 'hello'))).code, -32002);
    const wrong = await rejection(
      agent.client.request('session/new', { cwd: sandbox.workspace, mcpServers: [], _meta: meta({ provider: 'nobody' }) }),
    );
    assert.equal(wrong.code, -32602);
    assert.match(wrong.message, /provider/);
    const sessionId = await open(agent, sandbox);
    assert.equal((await rejection(agent.client.request('session/prompt', { sessionId, prompt: [] }))).code, -32602);
  });

  test('the turn stops at the step limit', async () => {
    await using given = await setup();
    const sessionId = await open(given.agent, given.sandbox, { maxSteps: 1 });
    assert.equal((await ask(given.agent, sessionId, toolPrompt('bash', { command: 'true' }))).stopReason, 'max_turn_requests');
  });
});

const POLL_MS = 10;
const BOUND_MS = 5000;

async function eventually<T>(what: string, probe: () => T | undefined): Promise<T> {
  for (const end = performance.now() + BOUND_MS; performance.now() < end; ) {
    const value = probe();
    if (value !== undefined) return value;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  assert.fail(`${what} not within ${BOUND_MS} ms`);
}

function pidIn(file: string): Promise<number> {
  return eventually(`a process id in ${file}`, () => {
    const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
    return text.endsWith('\n') ? Number(text) : undefined;
  });
}

/** A zombie that nobody has waited for counts as gone. */
function gone(pid: number): Promise<true> {
  return eventually(`the end of process ${pid}`, () => {
    try {
      return /^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8')) ? true : undefined;
    } catch {
      return true;
    }
  });
}
