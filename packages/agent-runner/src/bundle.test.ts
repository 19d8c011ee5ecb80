import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { startFakeModel } from '@cloister/fake-model';
import { buildRunner } from '../build.ts';
import { createTestSandbox, startTestAgent } from './testing/agent-process.ts';

// Away from the repository, so that nothing is found in its node_modules.
let outdir: string;
before(async () => {
  outdir = mkdtempSync(path.join(tmpdir(), 'runner-'));
  await buildRunner(outdir);
});
after(() => rmSync(outdir, { recursive: true, force: true }));

test('the built agent answers with every provider, and searches in its threads', async () => {
  const model = await startFakeModel();
  try {
    await using sandbox = await createTestSandbox(model.port);
    writeFileSync(path.join(sandbox.workspace, 'found.txt'), 'needle\n');
    await using agent = await startTestAgent(sandbox, { entry: path.join(outdir, 'builtin.mjs') });
    const tools = { grep: { enabled: true, policy: 'allow' } };
    for (const provider of ['anthropic', 'openai', 'openai-compatible', 'google', 'deepseek', 'xai', 'demo']) {
      const _meta = { cloister: { provider, model: 'model', tools } };
      const { sessionId } = await agent.client.request('session/new', { cwd: sandbox.workspace, mcpServers: [], _meta });
      const said = agent.text().length;
      await agent.client.request('session/prompt', { sessionId, prompt: [{ type: 'text', text: '[[tool grep {"pattern":"needle"}]]' }] });
      assert.match(agent.text().slice(said), /found\.txt:1:needle/, provider);
    }
    agent.child.stdin?.end();
    assert.deepEqual(await agent.exited, { code: 0, signal: null });
  } finally {
    await model.close();
  }
});

test('the built forwarder and supervisor start', () => {
  const env = { PATH: process.env.PATH, CLOISTER_GATEWAY_PORT: '0' };
  const preloaded = spawnSync(process.execPath, ['--import', path.join(outdir, 'forwarder.mjs'), '-e', 'console.log(1)'], {
    env,
    encoding: 'utf8',
  });
  assert.deepEqual([preloaded.stdout, preloaded.status], ['1\n', 0]);
  const supervised = spawnSync(process.execPath, [path.join(outdir, 'supervisor.mjs'), '--', 'echo', '2'], { env, encoding: 'utf8' });
  assert.deepEqual([supervised.stdout, supervised.status], ['2\n', 0]);
});
