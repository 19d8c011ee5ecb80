import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { describe, test } from 'node:test';
import type { ProviderConfig } from '../config.ts';
import { DEFAULT_LIMITS } from './limits.ts';
import { type Ask, ask, KEY, openBench, rawConnection, WIRE_NAMES, WIRE_REQUESTS, type WireName, waitFor } from './support/harness.ts';

async function withUpstream(listener: RequestListener, run: (config: ProviderConfig) => Promise<void>): Promise<void> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // As: a server that listens on TCP has an address of this form.
  const { port } = server.address() as AddressInfo;
  try {
    await run({ baseUrl: `http://127.0.0.1:${port}`, auth: { header: 'x-api-key', value: KEY } });
  } finally {
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }
}

for (const wire of WIRE_NAMES) {
  describe(wire, () => {
    test('injects the real key and takes the usage out of the stream', async () => {
      await using bench = await openBench();
      const reply = await ask(bench.socketPath, WIRE_REQUESTS[wire](`[[usage 1200 34 200 ${wire === 'anthropic' ? 50 : 0}]]`));
      assert.equal(reply.status, 200);
      assert.match(await reply.text(), /turns=1/);
      const end = bench.onlyEnd();
      assert.equal(end.failure, undefined);
      assert.deepEqual(
        end.usage,
        wire === 'anthropic'
          ? { inputTokens: 1200, outputTokens: 34, cacheReadTokens: 200, cacheCreationTokens: 50 }
          : { inputTokens: 1000, outputTokens: 34, cacheReadTokens: 200, cacheCreationTokens: 0 },
      );
      assert.match(end.model ?? '', /^(claude|gpt|gemini)-x$/);
      assert.doesNotMatch(JSON.stringify(bench.model.requests().map((one) => one.headers)), /placeholder/);
    });

    test('takes the usage out of an answer that is no stream', async () => {
      await using bench = await openBench();
      const reply = await ask(bench.socketPath, WIRE_REQUESTS[wire]('[[usage 70 7]]', false));
      assert.match(await reply.text(), /turns=1/);
      const { usage, failure } = bench.onlyEnd();
      assert.deepEqual([usage.inputTokens, usage.outputTokens, failure], [70, 7, undefined]);
    });

    test('passes the stream on as it comes, and tells of the end before the client can see it', async () => {
      await using bench = await openBench();
      const reply = await ask(bench.socketPath, WIRE_REQUESTS[wire]('[[slow 6 60]]'));
      let seen = '';
      let isFirstEarly = false;
      let endsAtFinal = -1;
      for await (const chunk of reply.message) {
        seen += String(chunk);
        if (seen.includes('chunk0') && !seen.includes('chunk5')) isFirstEarly = bench.model.activeStreams() === 1;
        if (endsAtFinal < 0 && /message_stop|\[DONE\]|response\.completed|STOP/.test(seen)) endsAtFinal = bench.ends.length;
      }
      assert.ok(isFirstEarly, 'the first piece arrived while the model was still speaking');
      assert.equal(endsAtFinal, 1);
    });

    test('a client that hangs up stops the model within a second', async () => {
      await using bench = await openBench();
      const reply = await ask(bench.socketPath, WIRE_REQUESTS[wire]('[[slow 1000 20]]'));
      await new Promise((resolve) => reply.message.once('data', resolve));
      const hungUpAt = performance.now();
      reply.hangUp();
      await waitFor('the abort', () => bench.model.abortedStreams() === 1 && bench.ends.length === 1, 1_000);
      assert.ok(performance.now() - hungUpAt < 1_000);
      assert.equal(bench.onlyEnd().failure, 'aborted');
    });

    test('an interrupt stops the model and breaks the answer off', async () => {
      await using bench = await openBench();
      const reply = await ask(bench.socketPath, WIRE_REQUESTS[wire]('[[silent]]'));
      const rest = assert.rejects(reply.text());
      bench.connection.abortModelCalls();
      await waitFor('the abort', () => bench.model.abortedStreams() === 1, 1_000);
      await rest;
      assert.equal(bench.onlyEnd().failure, 'aborted');
    });
  });
}

interface FailureCase {
  readonly said: string;
  readonly code: string;
  /** Of the answer to the sandbox; undefined where the connection breaks. */
  readonly status: number | undefined;
  readonly retryAfterMs?: number | null;
}

const FAILURES: readonly FailureCase[] = [
  { said: '[[error 400]]', code: 'model_request_rejected', status: 400 },
  { said: '[[error 401]]', code: 'model_authentication_failed', status: 401 },
  { said: '[[error 403]]', code: 'model_authentication_failed', status: 403 },
  { said: '[[error 404]]', code: 'model_request_rejected', status: 404 },
  { said: '[[error 413]]', code: 'model_request_rejected', status: 413 },
  { said: '[[error 422]]', code: 'model_request_rejected', status: 422 },
  { said: '[[retryafter 7]]', code: 'model_rate_limited', status: 429, retryAfterMs: 7_000 },
  { said: '[[error 500]]', code: 'model_api_failed', status: 500, retryAfterMs: 0 },
  { said: '[[error 503]]', code: 'model_overloaded', status: 503, retryAfterMs: 0 },
  { said: '[[error 529]]', code: 'model_overloaded', status: 529, retryAfterMs: 0 },
  { said: '[[cut]]', code: 'model_stream_cut', status: undefined },
  { said: '[[nofinish]]', code: 'model_stream_cut', status: undefined },
  { said: '[[badjson]]', code: 'model_api_failed', status: 200 },
  { said: '[[streamerror overloaded_error]]', code: 'model_overloaded', status: 200 },
];

for (const wire of WIRE_NAMES) {
  test(`${wire}: every failure has its own code`, async (context) => {
    for (const { said, code, status, retryAfterMs = null } of FAILURES) {
      await context.test(said, async () => {
        await using bench = await openBench();
        const reply = await ask(bench.socketPath, WIRE_REQUESTS[wire](said));
        if (status === undefined) await assert.rejects(reply.text());
        else {
          assert.equal(reply.status, status);
          await reply.text();
        }
        await waitFor('the end', () => bench.ends.length === 1);
        const { failure } = bench.onlyEnd();
        assert.ok(typeof failure === 'object', JSON.stringify(failure));
        assert.deepEqual([failure.code, failure.retryAfterMs], [code, retryAfterMs]);
        if (status !== undefined && status >= 400) assert.match(failure.message, new RegExp(`answered ${status}: fake ${status}`));
      });
    }
  });
}

test('in-stream errors map by the type the provider gives', async (context) => {
  const types = {
    rate_limit_error: 'model_rate_limited',
    authentication_error: 'model_authentication_failed',
    api_error: 'model_api_failed',
  };
  for (const [type, code] of Object.entries(types)) {
    await context.test(type, async () => {
      await using bench = await openBench();
      await (await ask(bench.socketPath, WIRE_REQUESTS.anthropic(`[[streamerror ${type}]]`))).text();
      const { failure } = bench.onlyEnd();
      assert.equal(typeof failure === 'object' && failure.code, code);
    });
  }
});

const STREAM_ERRORS: readonly (readonly [WireName, RegExp])[] = [
  ['anthropic', /event: error\ndata: \{"type":"error","error":\{"type":"timeout_error".*model_silent/],
  ['openai chat', /data: \{"error":\{.*model_silent/],
  ['openai responses', /event: error\ndata: \{"type":"error".*model_silent/],
];

for (const [wire, event] of STREAM_ERRORS) {
  test(`${wire}: a silent model ends with an event in the wire's form, then the connection breaks`, async () => {
    await using bench = await openBench({ modelIdleMs: 150 });
    const reply = await ask(bench.socketPath, WIRE_REQUESTS[wire]('[[silent]]'));
    let seen = '';
    await assert.rejects(async () => {
      for await (const chunk of reply.message) seen += String(chunk);
    });
    assert.match(seen, event);
    const { failure } = bench.onlyEnd();
    assert.equal(typeof failure === 'object' && failure.code, 'model_silent');
    await waitFor('the upstream to be let go', () => bench.model.abortedStreams() === 1, 1_000);
  });
}

test('a model that keeps sending is not silent, however long it takes', async () => {
  await using bench = await openBench({ modelIdleMs: 200 });
  const reply = await ask(bench.socketPath, WIRE_REQUESTS.anthropic('[[slow 10 60]]'));
  assert.match(await reply.text(), /message_stop/);
  assert.equal(bench.onlyEnd().failure, undefined);
});

test('a provider that accepts and says nothing is silent: 504 in the wire’s form', async () => {
  await withUpstream(
    (request) => void request.resume(),
    async (config) => {
      await using bench = await openBench({ modelIdleMs: 150, providers: new Map([['anthropic', config]]) });
      const reply = await ask(bench.socketPath, WIRE_REQUESTS.anthropic('hi'));
      assert.deepEqual([reply.status, reply.headers['x-should-retry']], [504, 'false']);
      assert.match(await reply.text(), /"type":"timeout_error"/);
      const { failure } = bench.onlyEnd();
      assert.equal(typeof failure === 'object' && failure.code, 'model_silent');
    },
  );
});

test('a refused connection and an unknown name are unreachable', async () => {
  const closed = createTcpServer();
  await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
  // As: a server that listens on TCP has an address of this form.
  const { port } = closed.address() as AddressInfo;
  await new Promise((resolve) => closed.close(resolve));
  for (const baseUrl of [`http://127.0.0.1:${port}`, `https://127.0.0.1:${port}`, 'http://does-not-exist.invalid']) {
    await using bench = await openBench({ providers: new Map([['anthropic', { baseUrl, auth: undefined }]]) });
    const reply = await ask(bench.socketPath, WIRE_REQUESTS.anthropic('hi'));
    assert.equal(reply.status, 502);
    assert.match(await reply.text(), /"type":"api_error".*could not be reached/);
    const { failure } = bench.onlyEnd();
    assert.equal(typeof failure === 'object' && failure.code, 'model_unreachable');
  }
});

test('a server that speaks no TLS is unreachable, one that resets is a cut', async () => {
  await withUpstream(
    (request) => void request.socket.destroy(),
    async ({ baseUrl }) => {
      const cases = [
        [baseUrl.replace('http:', 'https:'), 'model_unreachable'],
        [baseUrl, 'model_stream_cut'],
      ] as const;
      for (const [url, code] of cases) {
        await using bench = await openBench({ providers: new Map([['anthropic', { baseUrl: url, auth: undefined }]]) });
        assert.equal((await ask(bench.socketPath, WIRE_REQUESTS.anthropic('hi'))).status, 502);
        const { failure } = bench.onlyEnd();
        assert.equal(typeof failure === 'object' && failure.code, code);
      }
    },
  );
});

test('a redirect is not followed', async () => {
  let requests = 0;
  await withUpstream(
    (request, response) => {
      requests++;
      request.resume();
      response.writeHead(307, { location: 'http://169.254.169.254/latest' }).end();
    },
    async (config) => {
      await using bench = await openBench({ providers: new Map([['anthropic', config]]) });
      const reply = await ask(bench.socketPath, WIRE_REQUESTS.anthropic('hi'));
      assert.deepEqual([reply.status, reply.headers.location, requests], [502, undefined, 1]);
      const { failure } = bench.onlyEnd();
      assert.equal(typeof failure === 'object' && failure.code, 'model_api_failed');
    },
  );
});

test('a provider that repeats the key in its error does not get it into the sandbox', async () => {
  await withUpstream(
    (request, response) => {
      request.resume();
      response.writeHead(401, { 'content-type': 'application/json', 'set-cookie': 'a=b' });
      response.end(JSON.stringify({ error: { message: `bad key ${String(request.headers['x-api-key'])}` } }));
    },
    async (config) => {
      await using bench = await openBench({ providers: new Map([['anthropic', config]]) });
      const reply = await ask(bench.socketPath, WIRE_REQUESTS.anthropic('hi'));
      assert.equal(reply.headers['set-cookie'], undefined);
      assert.match(await reply.text(), /bad key \[redacted\]/);
      assert.doesNotMatch(JSON.stringify(bench.ends), new RegExp(KEY));
    },
  );
});

test('a kept connection that was closed meanwhile is replaced, and the request arrives once', async () => {
  let served = 0;
  await withUpstream(
    (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        served++;
        // The second request on a connection finds it dead, as if it had timed out on its way.
        if (seen.has(request.socket)) return void request.socket.destroy();
        seen.add(request.socket);
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ usage: { input_tokens: Buffer.concat(chunks).length } }));
      });
    },
    async (config) => {
      await using bench = await openBench({ providers: new Map([['anthropic', config]]) });
      const first = await (await ask(bench.socketPath, WIRE_REQUESTS.anthropic('hi', false))).text();
      assert.equal(await (await ask(bench.socketPath, WIRE_REQUESTS.anthropic('hi', false))).text(), first);
      assert.equal(served, 3);
      assert.deepEqual(
        bench.ends.map((end) => end.failure),
        [undefined, undefined],
      );
    },
  );
});
const seen = new WeakSet<object>();

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
