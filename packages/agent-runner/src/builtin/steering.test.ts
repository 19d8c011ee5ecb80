import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { PromptResponse, SessionUpdate } from '@agentclientprotocol/sdk';
import { type FakeModel, startFakeModel } from '@cloister/fake-model';
import { createTestSandbox, startTestAgent, type TestAgent } from '../testing/agent-process.ts';

const SOURCE = path.join(import.meta.dirname, 'main.ts');
const CONFIG = { provider: 'anthropic', model: 'claude-test', system: null, tools: { bash: { enabled: true, policy: 'allow' } } };

let model: FakeModel;
before(async () => {
  model = await startFakeModel();
});
after(() => model.close());

async function setup() {
  const sandbox = await createTestSandbox(model.port);
  const agent = await startTestAgent(sandbox, { entry: SOURCE });
  const opened = await agent.client.request('session/new', { cwd: sandbox.workspace, mcpServers: [], _meta: { cloister: CONFIG } });
  const { sessionId } = opened;
  const prompt = (text: string) => [{ type: 'text' as const, text }];
  return {
    agent,
    workspace: sandbox.workspace,
    ask: (text: string) => agent.client.request<PromptResponse>('session/prompt', { sessionId, prompt: prompt(text) }),
    steer: (text: string) => agent.client.request<{ outcome: string }>('_session/steering', { sessionId, prompt: prompt(text) }),
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]();
      await sandbox[Symbol.asyncDispose]();
    },
  };
}

function said(updates: readonly SessionUpdate[]): string {
  return updates
    .map((one) => (one.sessionUpdate === 'agent_message_chunk' && one.content.type === 'text' ? one.content.text : ''))
    .join('');
}

const saidBy = (agent: TestAgent) => said(agent.updates);

describe('steering', () => {
  test('a message is taken into the turn that runs, and read before its next step', async () => {
    await using setting = await setup();
    const { agent, ask, steer, workspace } = setting;
    const turn = ask('[[tool bash {"command":"while ! test -e go; do sleep 0.02; done"}]]');
    await agent.until((updates) => updates.some((one) => one.sessionUpdate === 'tool_call_update' && one.status === 'in_progress'));
    assert.deepEqual(await steer('now [[text banana]]'), { outcome: 'injected' });
    writeFileSync(path.join(workspace, 'go'), '');
    assert.equal((await turn).stopReason, 'end_turn');
    assert.match(saidBy(agent), /banana/);
  });

  test('a message that comes during the last answer gets a step of its own', async () => {
    await using setting = await setup();
    const { agent, ask, steer } = setting;
    const turn = ask('[[slow 20 30]]');
    await agent.until((updates) => said(updates).includes('chunk0'));
    assert.deepEqual(await steer('now [[text banana]]'), { outcome: 'injected' });
    await turn;
    assert.match(saidBy(agent), /chunk19 banana$/);
  });

  test('nothing is taken while no turn runs', async () => {
    await using setting = await setup();
    const { ask, steer } = setting;
    assert.deepEqual(await steer('hello?'), { outcome: 'promptRequired' });
    await ask('hello');
    assert.deepEqual(await steer('hello?'), { outcome: 'promptRequired' });
  });
});
