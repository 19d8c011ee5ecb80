import assert from 'node:assert/strict';
import { test } from 'node:test';
import Anthropic, { toFile } from '@anthropic-ai/sdk';
import { startFakeModel } from '@cloister/fake-model';
import { startHttpMcp } from '../../../agent-runner/src/testing/mcp-server.ts';
import { engineMissing } from '../support/engine.ts';
import type { Wire } from '../support/server.ts';
import { ADMIN_KEY, startServerProcess } from '../support/server-process.ts';

const MODEL_KEY = 'sk-real-provider-key-that-must-stay-outside';
const MCP_TOKEN = 'mcp-token-that-must-stay-outside';
const HOST = '127.0.0.1';

/** The protocol by hand: what an agent runs in its sandbox has no libraries of ours. */
const STDIO_SERVER = `
import { createInterface } from 'node:readline';
const tool = { name: 'where', description: 'Says where it runs', inputSchema: { type: 'object' } };
const answers = {
  initialize: ({ protocolVersion }) => ({ protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'local', version: '1' } }),
  'tools/list': () => ({ tools: [tool] }),
  'tools/call': () => ({ content: [{ type: 'text', text: process.cwd() + ' ' + process.env.GREETING + ' ' + process.getuid() }] }),
};
createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) return;
  const result = answers[method]?.(params) ?? {};
  process.stdout.write(JSON.stringify({ jsonrpc: '2.0', id, result }) + '\\n');
});
`;

const HARNESSES = [
  { harness: 'builtin', modelName: 'claude-test' },
  { harness: 'claude', modelName: 'claude-sonnet-4-5' },
];

for (const { harness, modelName } of HARNESSES)
  test(`${harness}: MCP servers, skills, memory and attachments reach the agent in its container`, async (t) => {
    const skip = await engineMissing();
    if (skip !== false) return t.skip(skip);
    await using stack = new AsyncDisposableStack();
    const remote = stack.use(await startHttpMcp({ authorization: `Bearer ${MCP_TOKEN}` }));
    const model = await startFakeModel({ requireKey: MODEL_KEY });
    stack.defer(() => model.close());
    const settings = { CLOISTER_RUNTIME: 'docker', CLOISTER_HARNESS: harness, CLOISTER_MODEL: modelName, EGRESS_ALLOW_PRIVATE: HOST };
    const server = stack.use(
      await startServerProcess({ env: { ...settings, ANTHROPIC_API_KEY: MODEL_KEY, ANTHROPIC_BASE_URL: model.url }, readyMs: 300_000 }),
    );
    const client = new Anthropic({ apiKey: ADMIN_KEY, baseURL: server.url, maxRetries: 0, timeout: 200_000 });
    const post = async (route: string, body: object): Promise<Wire> => {
      const headers = { 'x-api-key': ADMIN_KEY, 'content-type': 'application/json' };
      const answer = await fetch(server.url + route, { method: 'POST', headers, body: JSON.stringify(body) });
      const json = await answer.json();
      assert.ok(answer.ok, `${route}: ${JSON.stringify(json)}`);
      return json;
    };

    const url = `http://${HOST}:${remote.port}/mcp`;
    const skill = await client.beta.skills.create({
      files: [
        await toFile(
          Buffer.from('---\nname: weekly-report\ndescription: How reports look here.\n---\nBegin with a haiku.\n'),
          'weekly-report/SKILL.md',
        ),
      ],
    });
    const program = await client.beta.files.upload({ file: await toFile(Buffer.from(STDIO_SERVER), 'server.mjs') });
    const pdf = Buffer.from(`%PDF-1.4\n${'of a report '.repeat(50)}\n%%EOF`);
    const document = await client.beta.files.upload({ file: await toFile(pdf, 'report.pdf', { type: 'application/pdf' }) });
    const store = await client.beta.memoryStores.create({ name: 'Team', description: 'What the team likes.' });
    await client.beta.memoryStores.memories.create(store.id, { path: '/tea.md', content: 'green' });
    const agent = await post('/v1/agents', {
      name: 'e2e',
      model: modelName,
      mcp_servers: [
        { type: 'stdio', name: 'local', command: 'node', args: ['/workspace/tools/server.mjs'], env: { GREETING: 'hi' } },
        { type: 'url', name: 'remote', url },
      ],
      tools: [
        { type: 'agent_toolset_20260401' },
        { type: 'mcp_toolset', mcp_server_name: 'local', default_config: { permission_policy: { type: 'always_allow' } } },
        {
          type: 'mcp_toolset',
          mcp_server_name: 'remote',
          default_config: { permission_policy: { type: 'always_allow' } },
          configs: [{ name: 'grow', enabled: false }],
        },
      ],
      skills: [{ type: 'custom', skill_id: skill.id }],
    });
    const vault = await post('/v1/vaults', { display_name: 'mcp' });
    await post(`/v1/vaults/${vault.id}/credentials`, { auth: { type: 'static_bearer', mcp_server_url: url, token: MCP_TOKEN } });
    const environment = await client.beta.environments.create({
      name: 'e2e',
      config: { type: 'cloud', networking: { type: 'limited', allow_mcp_servers: true } },
    });
    const session = await post('/v1/sessions', {
      agent: agent.id,
      environment_id: environment.id,
      vault_ids: [vault.id],
      resources: [
        { type: 'file', file_id: program.id, mount_path: '/workspace/tools/server.mjs' },
        { type: 'memory_store', memory_store_id: store.id, instructions: 'Look here first.' },
      ],
    });
    const ask = async (...content: object[]): Promise<string> => {
      const sent = await post(`/v1/sessions/${session.id}/events?wait=150`, { events: [{ type: 'user.message', content }] });
      assert.equal(sent.turn?.outcome, 'completed', JSON.stringify(sent.events?.slice(-3)));
      return JSON.stringify(sent.events);
    };
    const say = (text: string) => ({ type: 'text', text });
    const sentToModel = () => JSON.stringify(model.requests().map(({ body }) => body));

    assert.match(await ask(say('[[tool mcp__local__where {}]]')), /\/workspace hi \d+/);
    const called = await ask(say('[[tool mcp__remote__echo {"text":"far"}]]'));
    assert.match(called, /echo: far/);
    const logged: readonly Wire[] = JSON.parse(called);
    const use = logged.find(({ type }) => type === 'agent.mcp_tool_use');
    assert.deepEqual([use?.mcp_server_name, use?.name, use?.input], ['remote', 'echo', { text: 'far' }]);
    assert.equal(logged.find(({ type }) => type === 'agent.mcp_tool_result')?.mcp_tool_use_id, use?.id);
    assert.ok(!logged.some(({ type }) => type === 'agent.tool_use'));
    assert.ok(remote.seen.length > 0 && remote.seen.every(({ authorization }) => authorization === `Bearer ${MCP_TOKEN}`));
    assert.match(sentToModel(), /weekly-report/);
    assert.match(sentToModel(), /How reports look here\./);
    assert.match(sentToModel(), /\/mnt\/memory\/team/);

    const shell = harness === 'claude' ? 'Bash' : 'bash';
    const command =
      'cat /mnt/skills/skills/weekly-report/SKILL.md /mnt/memory/team/tea.md; echo oolong > /mnt/memory/team/more.md; touch /mnt/skills/x';
    const ran = await ask(say(`[[tool ${shell} ${JSON.stringify({ command })}]]`));
    assert.match(ran, /Begin with a haiku/);
    assert.match(ran, /green/);
    assert.match(ran, /[Rr]ead-only file system/);
    const { data } = await client.beta.memoryStores.memories.list(store.id, { view: 'full' });
    assert.deepEqual(
      data.map((one) => (one.type === 'memory' ? [one.path, one.content] : one.path)),
      [
        ['/more.md', 'oolong\n'],
        ['/tea.md', 'green'],
      ],
    );

    const png = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');
    await ask(
      { type: 'image', source: { type: 'base64', media_type: 'image/png', data: png.toString('base64') } },
      { type: 'document', source: { type: 'file', file_id: document.id } },
      { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'plain words of a document' } },
      say('[[text seen]]'),
    );
    const last = sentToModel();
    assert.ok(last.includes(png.toString('base64')), 'the image');
    assert.ok(last.includes(pdf.toString('base64')), 'the PDF');
    assert.ok(last.includes('plain words of a document'), 'the text');
    assert.doesNotMatch(last, new RegExp(MCP_TOKEN));

    // What is switched off is refused outside, whatever the agent asks for.
    const refused = await ask(say('[[tool mcp__remote__grow {}]]'));
    assert.doesNotMatch(refused, /"text":"[^"]*grew/);
  });
