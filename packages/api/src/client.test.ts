import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { ClientError, createClient } from './client.ts';

interface Call {
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  readonly body: string | undefined;
}

/** A client whose calls are answered in turn, and the calls. */
function scripted(...answers: readonly (() => Response)[]) {
  const calls: Call[] = [];
  const signals: AbortSignal[] = [];
  const rest = [...answers];
  const send: typeof fetch = async (url, init) => {
    const body = typeof init?.body === 'string' ? init.body : undefined;
    calls.push({
      method: init?.method ?? 'GET',
      url: url instanceof Request ? url.url : url.toString(),
      headers: new Headers(init?.headers),
      body,
    });
    const next = rest.shift();
    if (next === undefined) throw new Error('no more answers');
    const signal = init?.signal;
    if (!(signal instanceof AbortSignal)) return next();
    signals.push(signal);
    const response = next();
    // As fetch does: an abort reaches whoever reads the body.
    return new Response(response.body?.pipeThrough(new TransformStream(), { signal }), response);
  };
  return { calls, signals, client: createClient({ url: 'http://x', key: 'k', fetch: send }) };
}

const event = (seq: number, type = 'agent.message') => `id: ${seq}\nevent: ${type}\ndata: ${JSON.stringify({ seq, type })}\n\n`;
const stream = (text: string) => () => new Response(text, { headers: { 'content-type': 'text/event-stream' } });

describe('the client', () => {
  it('sends key, query, body and idempotency key', async () => {
    const { calls, client } = scripted(() => Response.json({ data: [] }));
    await client.events.send('ses/1', [{ type: 'user.interrupt' }], { wait: 5, idempotencyKey: 'once' });
    const [call] = calls;
    assert.deepEqual([call?.method, call?.url], ['POST', 'http://x/v1/sessions/ses%2F1/events?wait=5']);
    assert.deepEqual([call?.headers.get('x-api-key'), call?.headers.get('idempotency-key')], ['k', 'once']);
    assert.equal(call?.body, '{"events":[{"type":"user.interrupt"}]}');
  });

  it('throws what the server says, and says so when another answers in its place', async () => {
    const error = { type: 'not_found_error', message: 'There is none.', code: 'session_not_found', fix: 'List them.', retryable: false };
    const { client } = scripted(
      () => Response.json({ type: 'error', error, request_id: 'req_1' }, { status: 404 }),
      () => new Response('<h1>Bad gateway</h1>', { status: 502 }),
    );
    await assert.rejects(client.sessions.get('a'), (thrown: unknown) => {
      assert.ok(thrown instanceof ClientError);
      assert.deepEqual([thrown.status, thrown.code, thrown.fix, thrown.requestId], [404, 'session_not_found', 'List them.', 'req_1']);
      return true;
    });
    await assert.rejects(client.sessions.get('a'), { status: 502, code: undefined });
  });

  it('follows a stream across lost connections, from its last event, until the session is deleted', async () => {
    const { calls, client } = scripted(
      stream(`${event(1)}event: event_start\ndata: {"type":"event_start"}\n\n${event(2)}`),
      () => new Response('later', { status: 503 }),
      stream(`${event(3)}${event(4, 'session.deleted')}`),
    );
    const seen: unknown[] = [];
    for await (const item of client.events.stream('s', { after: 0, deltas: ['agent.message'] }))
      seen.push(item.type === 'event' ? item.event.seq : item.type);
    assert.deepEqual(seen, [1, 'preview', 2, 3, 4]);
    assert.deepEqual(
      calls.map(({ url }) => new URL(url).searchParams.get('after')),
      ['0', '2', '2'],
    );
  });

  it('stops following when the session is not there, or when it is told to', async () => {
    const { client } = scripted(() => Response.json({}, { status: 404 }), stream(event(1)));
    await assert.rejects(client.events.stream('s', { after: 0 }).next(), { status: 404 });
    const stop = new AbortController();
    const items = client.events.stream('s', { after: 0, signal: stop.signal });
    assert.equal((await items.next()).done, false);
    stop.abort();
    assert.equal((await items.next()).done, true);
  });

  it('takes a connection that has gone silent for a lost one', async () => {
    const open = (text: string) => () =>
      new Response(new ReadableStream({ start: (controller) => controller.enqueue(new TextEncoder().encode(text)) }));
    const { calls, client, signals } = scripted(open(`${event(1)}: keep-alive\n\n`), stream(event(2, 'session.deleted')));
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      const items = client.events.stream('s', { after: 0 });
      assert.equal((await items.next()).done, false);
      // What the reader does with an item is no silence of the server.
      mock.timers.tick(60_000);
      const next = items.next();
      await setImmediate();
      mock.timers.tick(44_999);
      await setImmediate();
      assert.equal(signals[0]?.aborted, false);
      for (let second = 0; second < 5 && calls.length < 2; second++) {
        mock.timers.tick(1000);
        await setImmediate();
      }
      assert.equal(signals[0]?.aborted, true);
      const { value } = await next;
      assert.equal(value?.type === 'event' && value.event.seq, 2);
      assert.equal(new URL(calls[1]?.url ?? '').searchParams.get('after'), '1');
    } finally {
      mock.timers.reset();
    }
  });
});
