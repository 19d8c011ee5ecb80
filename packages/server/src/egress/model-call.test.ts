import assert from 'node:assert/strict';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { describe, test } from 'node:test';
import { ask, KEY, openBench, WIRE_NAMES, WIRE_REQUESTS, type WireName, waitFor, withUpstream } from '../../test/support/egress-bench.ts';

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
