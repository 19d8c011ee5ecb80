import assert from 'node:assert/strict';
import { once } from 'node:events';
import { globSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { message, startTestServer, type TestServer, type Wire } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

interface SeenSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly start: bigint;
  readonly end: bigint;
  readonly attributes: Readonly<Record<string, string>>;
  readonly node: string;
  readonly failure: string | undefined;
}

interface Collector extends AsyncDisposable {
  readonly url: string;
  readonly spans: SeenSpan[];
  readonly bodies: string[];
  readonly keys: Set<string | undefined>;
}

/** Takes OTLP over HTTP with JSON. */
async function startCollector(): Promise<Collector> {
  const spans: SeenSpan[] = [];
  const bodies: string[] = [];
  const keys = new Set<string | undefined>();
  const server = createServer((incoming, response) => void take(incoming, response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    bodies,
    keys,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  async function take(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    for await (const chunk of incoming.setEncoding('utf8')) body += chunk;
    if (incoming.url !== '/v1/traces') return void response.writeHead(404).end();
    keys.add(incoming.headers.authorization);
    bodies.push(body);
    for (const { resource, scopeSpans } of JSON.parse(body).resourceSpans)
      for (const span of scopeSpans[0].spans) spans.push(toSpan(span, plain(resource.attributes)['service.instance.id'] ?? ''));
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  }
}

function plain(attributes: readonly Wire[]): Record<string, string> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, String(Object.values(value)[0])]));
}

function toSpan(span: Wire, node: string): SeenSpan {
  const { name, traceId, spanId, parentSpanId, attributes, status } = span;
  const start = BigInt(span.startTimeUnixNano);
  return {
    name,
    traceId,
    spanId,
    parentSpanId,
    start,
    end: BigInt(span.endTimeUnixNano),
    attributes: plain(attributes),
    node,
    failure: status.message,
  };
}

/** As a sandbox would, over its own socket. */
function callModel(socketPath: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const call = request({ socketPath, path: '/demo/v1/chat/completions', method: 'POST', headers: { 'content-type': 'application/json' } });
  call.on('error', reject);
  call.on('response', (answer) => answer.resume().on('end', () => resolve(answer.statusCode ?? 0)));
  call.end(JSON.stringify({ model: 'demo', messages: [{ role: 'user', content: 'a-word-that-nobody-may-see' }] }));
  return promise;
}

describe('traces', { timeout: 120_000 }, () => {
  let collector: Collector;
  let server: TestServer;
  const inbox = createServer((_request, response) => response.writeHead(204).end());
  before(async () => {
    collector = await startCollector();
    inbox.listen(0, '127.0.0.1');
    await once(inbox, 'listening');
    server = await startTestServer({
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20the-collectors-key',
        WEBHOOK_ALLOW_PRIVATE_NETWORK: 'true',
        // The turn is to wait for its sandbox.
        PRESTART_SANDBOXES: 'false',
      },
    });
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    inbox.close();
    await collector?.[Symbol.asyncDispose]();
  });

  const traceOf = (traceId: string) => collector.spans.filter((span) => span.traceId === traceId);
  const find = (traceId: string, name: string) =>
    waitFor(() => traceOf(traceId).find((span) => span.name === name), { timeoutMs: 20_000, what: `the span ${name}` });
  const send = (session: string, text: string, traceparent: string, query = '') =>
    server.json('POST', `/v1/sessions/${session}/events${query}`, { headers: { traceparent }, body: { events: [message(text)] } });

  it('go the whole way of a message, from the client that began them to the model and the webhook', async () => {
    const traceId = 'c0ffee'.padEnd(32, '1');
    const port = (inbox.address() as AddressInfo).port;
    await server.json('POST', '/v1/webhooks', { body: { url: `http://127.0.0.1:${port}/`, events: ['cloister.turn.ended'] } });
    const session = await server.createSession();
    const answer = send(
      session,
      'a-word-that-nobody-may-see [[tool bash {"command":"x"}]] [[slow 20 100]]',
      `00-${traceId}-${'2'.repeat(16)}-01`,
      '?wait=30',
    );
    // While its turn runs.
    await waitFor(async () => (await server.json('GET', `/v1/sessions/${session}/events?types[]=agent.tool_use`)).body.data.length > 0, {
      timeoutMs: 20_000,
      what: 'the turn to run',
    });
    const [socket = ''] = globSync(`${server.dataDir}/**/*.sock`);
    assert.equal(await callModel(socket), 200);
    assert.equal((await answer).body.turn.outcome, 'completed');

    const parents = {
      accept: 'POST /v1/sessions/:id/events',
      queue: 'accept',
      run: 'accept',
      sandbox: 'run',
      'sandbox.start': 'sandbox',
      prompt: 'run',
      'tool bash': 'prompt',
      'chat demo': 'prompt',
      outcome: 'run',
      'deliver webhook': 'accept',
    };
    for (const [name, parent] of Object.entries(parents)) {
      const span = await find(traceId, name);
      assert.equal(span.parentSpanId, (await find(traceId, parent)).spanId, `${name} belongs to ${parent}`);
      assert.ok(span.end >= span.start, name);
    }
    const http = await find(traceId, 'POST /v1/sessions/:id/events');
    assert.deepEqual([http.parentSpanId, http.attributes['http.response.status_code']], ['2'.repeat(16), '200']);
    const chat = await find(traceId, 'chat demo');
    assert.ok(Number(chat.attributes['gen_ai.usage.input_tokens']) > 0);
    assert.equal((await find(traceId, 'run')).attributes['cloister.turn.outcome'], 'completed');
    assert.ok(
      collector.bodies.every((body) => !body.includes('nobody-may-see')),
      'what is said is not told',
    );
    assert.deepEqual([...collector.keys], ['Bearer the-collectors-key']);
    const { body } = await server.json('GET', `/v1/sessions/${session}/events`);
    assert.ok(!JSON.stringify(body).includes(traceId), 'nor does the log of the session tell of the trace');
    assert.match(await (await server.request('GET', '/metrics')).text(), /^cloister_trace_spans_total\{outcome="exported"\} [1-9]/m);
  });

  it('of a client that does not keep its own are not kept here', async () => {
    const dropped = 'd'.repeat(32);
    const kept = 'e'.repeat(32);
    const session = await server.createSession();
    await send(session, 'hello', `00-${dropped}-${'2'.repeat(16)}-00`, '?wait=30');
    await send(session, 'hello', `00-${kept}-${'2'.repeat(16)}-01`, '?wait=30');
    await find(kept, 'outcome');
    assert.deepEqual(traceOf(dropped), []);
  });

  it('hold the attempts of several servers at one turn together', async () => {
    const traceId = 'f'.repeat(32);
    const session = await server.createSession();
    await send(session, '[[slow 25 100]]', `00-${traceId}-${'2'.repeat(16)}-01`);
    await waitFor(async () => (await server.json('GET', '/v1/status')).body.turns.running === 1, {
      timeoutMs: 20_000,
      what: 'the turn to run',
    });
    await server.restart();
    const runs = await waitFor(
      () => {
        const found = traceOf(traceId).filter(({ name }) => name === 'run');
        return found.length === 2 ? found : undefined;
      },
      { timeoutMs: 30_000, what: 'two attempts' },
    );
    assert.equal(new Set(runs.map(({ node }) => node)).size, 2);
    assert.deepEqual(
      runs.map(({ attributes }) => attributes['cloister.turn.outcome']),
      ['requeue', 'completed'],
    );
    assert.equal(new Set(runs.map(({ parentSpanId }) => parentSpanId)).size, 1);
  });
});
