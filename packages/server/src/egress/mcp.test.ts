import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { ask, type BenchOptions, openBench } from '../../test/support/egress-bench.ts';
import { injectedCredential } from '../core/injected-credential.ts';
import type { McpCredentials } from '../core/mcp-credentials.ts';
import type { NetworkPolicy } from './gateway.ts';

const SECRET = 'mcp_0123456789-secret';
let answer: (request: IncomingMessage, response: ServerResponse) => void;
const seen: { readonly method: string | undefined; readonly url: string | undefined; readonly headers: IncomingMessage['headers'] }[] = [];
const upstream = createServer((request, response) => {
  seen.push({ method: request.method, url: request.url, headers: request.headers });
  request.resume();
  answer(request, response);
});

before(() => new Promise<void>((resolve) => void upstream.listen(0, '127.0.0.1', resolve)));
after(() => {
  upstream.closeAllConnections();
  upstream.close();
});

// As: a server that listens on TCP has an address of this form.
const site = () => `tools.example:${(upstream.address() as AddressInfo).port}`;

/** Finds one for a single URL, and keeps whom it was asked for. */
function credentialsFor(url: string): McpCredentials & { readonly asked: object[] } {
  const asked: object[] = [];
  return {
    asked,
    async find(input) {
      asked.push(input);
      const parts = { header: 'Authorization', template: 'Bearer {secret}', username: null, secret: SECRET };
      return input.serverUrl === url ? injectedCredential(parts) : undefined;
    },
  };
}

function open(options: BenchOptions = {}) {
  seen.length = 0;
  answer = (_request, response) => void response.end('fine');
  const mcpServers = [
    { name: 'docs', url: `http://${site()}/mcp?tenant=1` },
    { name: 'open', url: `http://${site()}/open` },
  ];
  const network = { allowedHosts: [], allowsMcpServers: true };
  return openBench({ mcpServers, network, resolve: async () => ['127.0.0.1'], allowPrivateAddresses: true, ...options });
}

describe('MCP servers through the gateway', () => {
  test('reach their declared URL alone, with the session’s credential and not the sandbox’s words', async () => {
    const credentials = credentialsFor(`http://${site()}/mcp?tenant=1`);
    await using bench = await open({ mcpCredentials: credentials });
    answer = (_request, response) => {
      response.writeHead(200, { 'set-cookie': 'a=b', 'mcp-session-id': 'one' });
      response.end(`you sent ${SECRET}`);
    };
    const headers = { authorization: 'Bearer placeholder', cookie: 'c=d', 'mcp-protocol-version': '2025-06-18' };
    const reply = await ask(bench.socketPath, { path: '/mcp/docs?tenant=2', headers, body: { jsonrpc: '2.0' } });
    assert.equal(await reply.text(), `you sent ${'*'.repeat(SECRET.length)}`);
    assert.deepEqual([reply.headers['set-cookie'], reply.headers['mcp-session-id']], [undefined, 'one']);
    const [one] = seen;
    assert.deepEqual([one?.method, one?.url, one?.headers.host], ['POST', '/mcp?tenant=1', site()]);
    assert.equal(one?.headers.authorization, `Bearer ${SECRET}`);
    assert.deepEqual([one?.headers.cookie, one?.headers['mcp-protocol-version']], [undefined, '2025-06-18']);
    assert.deepEqual(credentials.asked, [
      { tenantId: 'default', sessionId: 'ses_1', agentId: null, serverUrl: `http://${site()}/mcp?tenant=1` },
    ]);
    assert.equal((await ask(bench.socketPath, { path: '/mcp/open', headers, body: {} })).status, 200);
    assert.equal(seen[1]?.headers.authorization, undefined);
  });

  test('nothing else is reached by this way, and all of it is in the audit', async () => {
    await using bench = await open();
    for (const path of ['/mcp/other', '/mcp/docs/../open', '/mcp/docs/more', '/mcp/'])
      assert.equal((await ask(bench.socketPath, { path, body: {} })).status, 404, path);
    assert.equal((await ask(bench.socketPath, { method: 'PUT', path: '/mcp/docs', body: {} })).status, 404);
    assert.equal((await ask(bench.socketPath, { method: 'GET', path: `http://${site()}/mcp` })).status, 403, 'the policy names no host');
    assert.equal(await (await ask(bench.socketPath, { method: 'GET', path: '/mcp/docs' })).text(), 'fine');
    await bench.audit.flush();
    const { data } = await bench.store.egress.list({ tenantId: 'default', sessionId: 'ses_1', limit: 10, order: 'asc' });
    assert.deepEqual(
      data.map(({ method, outcome, reason }) => [method, outcome, reason]),
      [
        ['GET', 'denied', 'not_listed'],
        ['GET', 'allowed', 'mcp_server'],
      ],
    );
    assert.ok((await bench.store.egress.usage({ tenantId: 'default', sessionId: 'ses_1' })).bytes > 0);
  });

  test('the environment has to allow them, or to list their host; the agent’s own narrowing is not asked', async () => {
    const cases: readonly (readonly [NetworkPolicy, 200 | 403])[] = [
      [{ allowedHosts: [] }, 403],
      [{ allowedHosts: [], allowsMcpServers: false }, 403],
      [{ allowedHosts: ['other.example'] }, 403],
      [{ allowedHosts: [site()] }, 200],
      [{ allowedHosts: [], rules: [{ host: site(), methods: ['POST'], paths: ['/mcp'] }] }, 200],
      [{ allowedHosts: [], rules: [{ host: site(), methods: ['POST'], paths: ['/else'] }] }, 403],
      [{ allowedHosts: [], isUnrestricted: true }, 200],
    ];
    for (const [network, status] of cases) {
      await using bench = await open({ network });
      const reply = await ask(bench.socketPath, { path: '/mcp/docs', body: {} });
      assert.equal(reply.status, status, JSON.stringify(network));
      if (status === 403) assert.match(await reply.text(), /allow_mcp_servers.*egress_denied/s);
      assert.equal(seen.length, status === 200 ? 1 : 0);
    }
  });

  test('its address is checked as any other', async () => {
    await using bench = await open({ allowPrivateAddresses: false });
    const reply = await ask(bench.socketPath, { path: '/mcp/docs', body: {} });
    assert.equal(reply.status, 403);
    assert.match(await reply.text(), /egress_denied/);
    assert.equal(seen.length, 0);
  });

  test('events come as they are written, though they are searched for the secret', async () => {
    await using bench = await open({ mcpCredentials: credentialsFor(`http://${site()}/mcp?tenant=1`) });
    let stream: ServerResponse | undefined;
    answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.flushHeaders();
      stream = response;
    };
    const reply = await ask(bench.socketPath, { method: 'GET', path: '/mcp/docs' });
    assert.equal(reply.status, 200, 'the headers come before the first event');
    const chunks = reply.message[Symbol.asyncIterator]();
    for (const event of ['data: one\n\n', 'data: two\n\n']) {
      stream?.write(event);
      const { value } = await chunks.next();
      assert.equal(String(value), event);
    }
    reply.hangUp();
  });
});
