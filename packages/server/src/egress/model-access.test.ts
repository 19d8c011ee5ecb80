import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Ask, ask, KEY, openBench, rawConnection, WIRE_REQUESTS, waitFor, withUpstream } from '../../test/support/egress-bench.ts';
import { DEFAULT_LIMITS } from './limits.ts';

test('strips what a sandbox may not say, and the answer of what it may not hear', async () => {
  await withUpstream(
    (request, response) => {
      request.resume();
      response.writeHead(200, {
        'content-type': 'application/json',
        'set-cookie': 'a=b',
        'anthropic-organization-id': 'org',
        'x-kept': 'yes',
      });
      response.end(JSON.stringify({ url: request.url, headers: request.headers }));
    },
    async (config) => {
      await using bench = await openBench({ providers: new Map([['anthropic', config]]) });
      const refused = ['authorization', 'x-goog-api-key', 'api-key', 'cookie', 'proxy-authorization', 'x-forwarded-for', 'forwarded', 'te'];
      const headers = {
        ...Object.fromEntries(refused.map((name) => [name, 'evil'])),
        host: 'evil.example',
        'x-drop': 'evil',
        connection: 'x-drop',
      };
      const wire = WIRE_REQUESTS.anthropic('hi', false);
      const reply = await ask(bench.socketPath, {
        ...wire,
        path: '/anthropic/v1/messages?beta=true&key=evil&api_key=evil',
        headers: { ...headers, 'x-api-key': 'evil', 'anthropic-version': '2023-06-01', 'user-agent': 'me' },
      });
      const text = await reply.text();
      assert.doesNotMatch(text, /evil/);
      assert.match(text, /"url":"\/v1\/messages\?beta=true"/);
      assert.match(text, new RegExp(`"x-api-key":"${KEY}"`));
      assert.match(text, /"anthropic-version":"2023-06-01"/);
      assert.match(text, new RegExp(`"host":"${config.baseUrl.slice(7)}"`));
      assert.deepEqual(
        [reply.headers['set-cookie'], reply.headers['anthropic-organization-id'], reply.headers['x-kept']],
        [undefined, undefined, 'yes'],
      );
    },
  );
});

test('counting tokens, listing models and the hello pass, and nobody is told of a call', async () => {
  await using bench = await openBench();
  const headers = { 'x-api-key': 'placeholder' };
  const counted = await ask(bench.socketPath, { path: '/anthropic/v1/messages/count_tokens', headers, body: { messages: [] } });
  assert.deepEqual([counted.status, await counted.text()], [200, '{"input_tokens":4}']);
  assert.equal((await ask(bench.socketPath, { method: 'GET', path: '/openai/v1/models', headers })).status, 200);
  assert.equal((await ask(bench.socketPath, { method: 'HEAD', path: '/anthropic/api/hello' })).status, 200);
  assert.equal(bench.starts.length + bench.ends.length, 0);
});

test('a provider without a key says which setting is missing', async () => {
  await using bench = await openBench();
  const reply = await ask(bench.socketPath, { path: '/xai/v1/chat/completions', body: { model: 'grok-x', messages: [] } });
  assert.deepEqual([reply.status, reply.headers['x-should-retry']], [400, 'false']);
  assert.match(await reply.text(), /^\{"error":\{"message":"The provider xai .*XAI_API_KEY/);
  const { failure } = bench.onlyEnd();
  assert.equal(typeof failure === 'object' && failure.code, 'provider_not_configured');
});

const REFUSED: readonly (Ask & { readonly status: number })[] = [
  { path: '/anthropic/v1/files', status: 404 },
  { path: '/anthropic/v1/messages/batches', status: 404 },
  { path: '/anthropic/v1/organizations/me', method: 'GET', status: 404 },
  { path: '/anthropic/v1/messages', method: 'GET', status: 404 },
  { path: '/anthropic/v1/messages', method: 'DELETE', status: 404 },
  { path: '/anthropic/v1/../v1/messages', status: 404 },
  { path: '/anthropic/v1/%6dessages', status: 404 },
  { path: '/anthropic//v1/messages', status: 404 },
  { path: '/openai/v1/files', status: 404 },
  { path: '/openai/v1/chat/completions/../../files', status: 404 },
  { path: '/google/v1beta/models/x:tunedContent', status: 404 },
  { path: '/google/v1beta/models/..:generateContent', status: 404 },
  { path: '/google/v1beta/cachedContents', status: 404 },
  { path: '/nobody/v1/messages', status: 404 },
  { path: '/', method: 'GET', status: 404 },
  { path: '/v1/messages', status: 404 },
  { path: '*', method: 'OPTIONS', status: 404 },
];

test('everything off the list is refused and reaches no provider', async () => {
  await using bench = await openBench();
  for (const { status, ...request } of REFUSED) {
    const reply = await ask(bench.socketPath, request);
    assert.equal(reply.status, status, request.path);
    assert.match(await reply.text(), /route_not_found|error/);
  }
  assert.equal(bench.model.requests().length, 0);
  assert.equal(bench.starts.length, 0);
});

test('a body over the limit is refused, by its length and by its bytes', async () => {
  await using bench = await openBench({ limits: { maxBodyBytes: 1_000 } });
  const big = WIRE_REQUESTS.anthropic('x'.repeat(2_000));
  const byLength = await ask(bench.socketPath, { ...big, headers: { 'content-length': String(JSON.stringify(big.body).length) } });
  assert.equal(byLength.status, 413);
  assert.match(await byLength.text(), /"type":"request_too_large"/);
  const { socket, received } = rawConnection(bench.socketPath);
  socket.write('POST /anthropic/v1/messages HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n7d0\r\n');
  socket.write(`${'x'.repeat(2_000)}\r\n`);
  await waitFor('the refusal', () => received().includes('request_too_large'));
  socket.destroy();
  assert.deepEqual(
    bench.ends.map((end) => typeof end.failure === 'object' && end.failure.code),
    ['model_request_rejected', 'model_request_rejected'],
  );
  assert.equal(bench.model.requests().length, 0);
});

test('more calls at a time than allowed are told to come back', async () => {
  await using bench = await openBench({ limits: { maxModelCalls: 2 } });
  const running = await Promise.all([1, 2].map(() => ask(bench.socketPath, WIRE_REQUESTS.anthropic('[[silent]]'))));
  const refused = await ask(bench.socketPath, WIRE_REQUESTS.anthropic('hi'));
  assert.deepEqual([refused.status, refused.headers['retry-after']], [429, '1']);
  for (const reply of running) reply.hangUp();
  await waitFor('the slots', () => bench.ends.length === 2);
  assert.equal((await ask(bench.socketPath, WIRE_REQUESTS.anthropic('hi'))).status, 200);
});

test('a client that does not read holds the provider back, and is let go when it stays so', async () => {
  const sent = { bytes: 0 };
  await withUpstream(
    (request, response) => {
      request.resume();
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const piece = `data: {"type":"ping","x":"${'x'.repeat(60_000)}"}\n\n`;
      const push = () => {
        while (sent.bytes < 512 * 1024 * 1024) {
          sent.bytes += piece.length;
          if (!response.write(piece)) return void response.once('drain', push);
        }
      };
      push();
    },
    async (config) => {
      await using bench = await openBench({ modelIdleMs: 300, providers: new Map([['anthropic', config]]) });
      const { socket } = rawConnection(bench.socketPath);
      socket.pause();
      const body = JSON.stringify(WIRE_REQUESTS.anthropic('hi').body);
      socket.write(`POST /anthropic/v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
      await waitFor('the end', () => bench.ends.length === 1);
      assert.equal(bench.onlyEnd().failure, 'aborted');
      assert.ok(sent.bytes < 64 * 1024 * 1024, `${sent.bytes} bytes were taken from the provider`);
      socket.destroy();
    },
  );
});

test('a request sent a byte at a time is cut off', async () => {
  const server = { ...DEFAULT_LIMITS.server, headersTimeout: 200, requestTimeout: 400, connectionsCheckingInterval: 50 };
  await using bench = await openBench({ limits: { server } });
  const slow = [
    'POST /anthropic/v1/messages HTTP/1.1\r\nhost: x\r\n',
    'POST /anthropic/v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{',
  ];
  for (const part of slow) {
    const { socket, received } = rawConnection(bench.socketPath);
    socket.write(part);
    await waitFor('the connection to close', () => socket.destroyed || socket.readableEnded || received().includes('408'));
    socket.destroy();
  }
});

test('an observer that throws takes nothing with it', async () => {
  await using bench = await openBench();
  const observer = {
    onStart() {
      throw new Error('from the observer');
    },
    onEnd() {
      throw new Error('from the observer');
    },
  };
  const binding = { sandboxId: 's', tenantId: 't', sessionId: 's', directory: bench.directory, network: { allowedHosts: [] }, observer };
  const connection = await bench.gateway.open(binding);
  assert.match(await (await ask(bench.socketPath, WIRE_REQUESTS.anthropic('hi'))).text(), /message_stop/);
  await connection.close();
});
