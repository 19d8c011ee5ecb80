import assert from 'node:assert/strict';
import { createServer, request as requestHttp } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { McpServer, RequestPermissionRequest } from '@agentclientprotocol/sdk';
import { type FakeModel, startFakeModel } from '@cloister/fake-model';
import { z } from 'zod';
import { createTestSandbox, startTestAgent, type TestAgent } from '../../testing/agent-process.ts';
import { type HttpMcp, startHttpMcp } from '../../testing/mcp-server.ts';

const SOURCE = path.join(import.meta.dirname, '..', 'main.ts');
const SERVER = path.join(import.meta.dirname, '..', '..', 'testing', 'mcp-server.ts');
const STDIO: McpServer = { name: 'local', command: process.execPath, args: [SERVER], env: [{ name: 'GREETING', value: 'hello' }] };

let model: FakeModel;
let remote: HttpMcp;
before(async () => {
  [model, remote] = await Promise.all([startFakeModel(), startHttpMcp()]);
});
after(async () => {
  await remote?.[Symbol.asyncDispose]();
  await model?.close();
});

/** As the gateway: `/mcp/…` leads to the server, the rest to the model. */
async function startFront() {
  const front = createServer((request, response) => {
    if (request.url?.startsWith('/mcp/')) return void remote.handle(request, response);
    const { method, url, headers } = request;
    const onward = requestHttp({ port: model.port, method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    request.pipe(onward);
  });
  await new Promise<void>((resolve) => void front.listen(0, '127.0.0.1', resolve));
  const close = () => {
    front.closeAllConnections();
    return new Promise((resolve) => front.close(resolve));
  };
  // As: a server that listens on a port has such an address.
  return { port: (front.address() as AddressInfo).port, [Symbol.asyncDispose]: async () => void (await close()) };
}

async function setup(servers: readonly McpServer[], more: object = {}) {
  const stack = new AsyncDisposableStack();
  const front = stack.use(await startFront());
  const sandbox = stack.use(await createTestSandbox(front.port));
  const asked: RequestPermissionRequest[] = [];
  const onPermission = async (request: RequestPermissionRequest) => {
    asked.push(request);
    const optionId = request.toolCall.name?.endsWith('__fail') ? 'reject' : 'allow';
    return { outcome: { outcome: 'selected' as const, optionId } };
  };
  const agent: TestAgent = stack.use(await startTestAgent(sandbox, { entry: SOURCE, onPermission }));
  const _meta = { cloister: { provider: 'anthropic', model: 'claude-test', system: null, tools: {}, ...more } };
  const { sessionId } = await agent.client.request('session/new', { cwd: sandbox.workspace, mcpServers: [...servers], _meta });
  const ask = async (text: string) => {
    const said = agent.text().length;
    await agent.client.request('session/prompt', { sessionId, prompt: [{ type: 'text', text }] });
    return agent.text().slice(said);
  };
  return { agent, ask, asked, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const call = (tool: string, input: object = {}) => `[[tool ${tool} ${JSON.stringify(input)}]]`;
const lastRequest = () => JSON.stringify(model.requests().at(-1)?.body);
const offered = () => {
  const { tools } = z.object({ tools: z.array(z.object({ name: z.string() })) }).parse(model.requests().at(-1)?.body);
  return tools.map(({ name }) => name);
};

describe('MCP servers', () => {
  test('over stdio: tools are offered, asked for, called, and come anew', async () => {
    await using given = await setup([STDIO]);
    assert.match(await given.ask(call('mcp__local__echo', { text: 'there' })), /hello: there/);
    assert.deepEqual(
      given.asked.map(({ toolCall }) => [toolCall.name, toolCall.rawInput]),
      [['mcp__local__echo', { text: 'there' }]],
    );
    assert.match(await given.ask(call('mcp__local__grow')), /grew/);
    assert.match(await given.ask(call('mcp__local__grown')), /I was added/);
    assert.ok(offered().includes('mcp__local__grown'));
    assert.match(await given.ask(call('mcp__local__fail')), /denied this tool call/);
    await given.ask(call('mcp__local__long'));
    assert.match(lastRequest(), /\[cut after 30000 of 100000 characters\]/);
  });

  test('a tool that is switched off is neither offered nor run', async () => {
    const off = { enabled: false, policy: 'ask' };
    await using given = await setup([STDIO], { mcp: { local: { fallback: { enabled: true, policy: 'allow' }, tools: { echo: off } } } });
    assert.match(await given.ask(call('mcp__local__grow')), /grew/);
    await given.ask(call('mcp__local__echo', { text: 'x' }));
    assert.ok(!offered().includes('mcp__local__echo') && offered().includes('mcp__local__fail'));
    assert.deepEqual(given.asked, []);
    assert.doesNotMatch(given.agent.text(), /hello: x/);
  });

  test('over HTTP, by way of the gateway', async () => {
    await using given = await setup([{ type: 'http', name: 'remote', url: 'http://127.0.0.1:8787/mcp/remote', headers: [] }]);
    assert.match(await given.ask(call('mcp__remote__echo', { text: 'far' })), /echo: far/);
    assert.ok(remote.seen.length >= 3);
  });

  test('one that does not start or dies is told of, and ends nothing', async () => {
    const broken: McpServer = { name: 'broken', command: '/no/such/program', args: [], env: [] };
    await using given = await setup([broken, STDIO], { mcp: { local: { fallback: { enabled: true, policy: 'allow' }, tools: {} } } });
    assert.match(await given.ask('hello'), /echo: hello/);
    assert.match(lastRequest(), /The tools of the MCP server broken cannot be used now: /);
    assert.match(await given.ask(call('mcp__local__die')), /tool said: the MCP server local failed/);
    // It is started again for the next turn.
    assert.match(await given.ask(call('mcp__local__echo', { text: 'again' })), /hello: again/);
  });
});
