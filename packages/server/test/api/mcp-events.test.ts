import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type Anthropic from '@anthropic-ai/sdk';
import { createClient } from '@cloister/api';
import { message, startTestServer, type TestServer, type Wire } from '../support/server.ts';
import { ADMIN_KEY, startServerProcess } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

const MS = 30_000;
/** The fake agent starts none: it says what it is told to. */
const SERVERS = [{ type: 'stdio', name: 'docs', command: 'docs-server' }] as const;
const toolset = (policy: 'always_allow' | 'always_ask') =>
  ({ type: 'mcp_toolset', mcp_server_name: 'docs', default_config: { permission_policy: { type: policy } } }) as const;
const CALL = '[[tool mcp__docs__search {"query":"tea"}]]';

type StreamEvent = Anthropic.Beta.Sessions.BetaManagedAgentsStreamSessionEvents;

describe('calls of tools of MCP servers', { timeout: 120_000 }, () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server?.[Symbol.asyncDispose]());

  async function newSession(policy: 'always_allow' | 'always_ask'): Promise<string> {
    const tools = [{ type: 'agent_toolset_20260401' }, toolset(policy)];
    const { body } = await server.json('POST', '/v1/agents', { body: { name: 'mcp', model: 'demo', mcp_servers: SERVERS, tools } });
    return server.createSession(body.id);
  }

  /** All of a turn, by the official SDK, which is given `confirm` to answer with. */
  async function follow(session: string, confirm?: 'allow' | 'deny'): Promise<readonly StreamEvent[]> {
    const { events } = server.client.beta.sessions;
    const stream = await events.stream(session, undefined, { query: { after: 0 } });
    await events.send(session, { events: [{ type: 'user.message', content: [{ type: 'text', text: CALL }] }] });
    const seen: StreamEvent[] = [];
    for await (const event of stream) {
      seen.push(event);
      if (event.type !== 'session.status_idle') continue;
      if (event.stop_reason.type !== 'requires_action') break;
      for (const tool_use_id of event.stop_reason.event_ids)
        await events.send(session, { events: [{ type: 'user.tool_confirmation', tool_use_id, result: confirm ?? 'allow' }] });
    }
    return seen;
  }

  it('are events of their own kind to the official SDK', async () => {
    const seen = await follow(await newSession('always_allow'));
    const use = seen.find((event) => event.type === 'agent.mcp_tool_use') ?? assert.fail(JSON.stringify(seen));
    assert.deepEqual([use.mcp_server_name, use.name, use.input], ['docs', 'search', { query: 'tea' }]);
    assert.deepEqual([use.evaluated_permission, use.evaluation?.type], ['allow', 'always_allow']);
    const result = seen.find((event) => event.type === 'agent.mcp_tool_result') ?? assert.fail('there is a result');
    assert.deepEqual([result.mcp_tool_use_id, result.is_error], [use.id, false]);
    assert.deepEqual(result.content, [{ type: 'text', text: 'ran mcp__docs__search' }]);
    assert.ok(!seen.some(({ type }) => type === 'agent.tool_use' || type === 'agent.tool_result'));
  });

  for (const answer of ['allow', 'deny'] as const)
    it(`are asked about and answered by the id of their event: ${answer}`, async () => {
      const session = await newSession('always_ask');
      const seen = await follow(session, answer);
      const use = seen.find((event) => event.type === 'agent.mcp_tool_use') ?? assert.fail(JSON.stringify(seen));
      assert.equal(use.evaluated_permission, 'ask');
      const result = seen.find((event) => event.type === 'agent.mcp_tool_result');
      assert.deepEqual([result?.mcp_tool_use_id, result?.is_error], [use.id, answer === 'deny']);
      const { body } = await server.json('GET', `/v1/approvals/${use.id}`);
      assert.deepEqual([body.tool.name, body.state], ['mcp__docs__search', answer === 'allow' ? 'allowed' : 'denied']);
    });

  it('are those of a copy of the session, with the ids of the copy', async () => {
    const session = await newSession('always_allow');
    await follow(session);
    const { body: fork } = await server.json('POST', `/v1/sessions/${session}/fork`, { body: {} });
    const { body } = await server.json('GET', `/v1/sessions/${fork.id}/events`);
    const of = (type: string): Wire => body.data.find((event: Wire) => event.type === type);
    assert.equal(of('agent.mcp_tool_result').mcp_tool_use_id, of('agent.mcp_tool_use').id);
  });
});

describe('a server that is killed after the tool of an MCP server ran', { timeout: 180_000 }, () => {
  it('does not run its turn again', async () => {
    await using server = await startServerProcess({ env: { CLOISTER_RUNTIME: 'fake', SWEEP_SECONDS: '1' } });
    const client = createClient({ url: server.url, key: ADMIN_KEY });
    const environment = (await client.environments.list()).data[0]?.id ?? '';
    const agent = await client.agents.create({ name: 'mcp', model: 'demo', mcp_servers: [...SERVERS], tools: [toolset('always_allow')] });
    const { id } = await client.sessions.create({ agent: agent.id, environment_id: environment });
    const events = async () => (await client.events.list(id, { limit: 1000 })).data;
    const has = (type: string) => async () => (await events()).some((event) => event.type === type);
    await client.events.send(id, [message(`${CALL} [[slow 10000 100]]`)]);
    await waitFor(has('agent.mcp_tool_use'), { timeoutMs: MS, what: 'the call' });

    await server.kill('SIGKILL');
    await server.start();

    await waitFor(has('turn.ended'), { timeoutMs: MS, what: 'the end of the turn' });
    const all = await events();
    assert.equal(all.filter(({ type }) => type === 'agent.mcp_tool_use').length, 1);
    const end = all.find((event) => event.type === 'turn.ended');
    assert.deepEqual([end?.outcome, end?.error?.code], ['interrupted', 'turn_interrupted']);
  });
});
