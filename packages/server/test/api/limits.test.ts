import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { message, OTHER_KEY, startTestServer, type TestServer } from '../support/server.ts';
import { openStream } from '../support/sse.ts';
import { waitFor } from '../support/wait-for.ts';

const metric = async (server: TestServer, line: string): Promise<number | undefined> => {
  const found = (await (await server.request('GET', '/metrics')).text()).split('\n').find((one) => one.startsWith(`${line} `));
  return found === undefined ? undefined : Number(found.split(' ').at(-1));
};

const get = async (server: TestServer, times: number, init = {}) =>
  Promise.all(Array.from({ length: times }, () => server.json('GET', '/v1/environments', init)));

describe('limits', { timeout: 120_000 }, () => {
  it('of a key: twice the rate at once, then 429 with the time to wait, and health and metrics always', async () => {
    await using server = await startTestServer({ env: { RATE_LIMIT_PER_KEY: '5' } });
    const answers = await get(server, 40);
    const refused = answers.filter(({ status }) => status === 429);
    assert.ok(refused.length >= 20, String(refused.length));
    assert.ok(answers.length - refused.length >= 10);
    for (const { headers, body } of refused) {
      assert.equal(body.error.code, 'rate_limited');
      assert.deepEqual([headers.get('retry-after'), headers.get('ratelimit-policy')], ['1', '"key";q=10;w=2']);
      assert.match(headers.get('ratelimit') ?? '', /^"key";r=0;t=2$/);
    }
    assert.equal((await server.request('GET', '/health', { key: null })).status, 200);
    assert.ok(((await metric(server, 'cloister_refusals_total{reason="key_rate"}')) ?? 0) >= refused.length);
    assert.equal((await server.json('GET', '/v1/environments', { key: OTHER_KEY })).status, 200, 'another key has its own');
    await waitFor(async () => (await server.json('GET', '/v1/environments')).status === 200, { timeoutMs: 5000, what: 'a token' });
  });

  it('of a tenant: its keys together', async () => {
    await using server = await startTestServer({ env: { RATE_LIMIT_PER_TENANT: '5' } });
    const refused = (await get(server, 40)).filter(({ status }) => status === 429);
    assert.ok(refused.length >= 20);
    assert.equal(refused[0]?.headers.get('ratelimit-policy'), '"tenant";q=10;w=2');
    assert.equal((await server.json('GET', '/v1/environments', { key: OTHER_KEY })).status, 200);
  });

  it('of keys that are none: 10,000 tries, at least 99 % refused before they are looked up', async () => {
    await using server = await startTestServer();
    assert.equal((await server.json('GET', '/v1/environments')).status, 200);
    const statuses = new Map<number, number>();
    for (let round = 0; round < 100; round++) {
      const answers = await Promise.all(
        Array.from({ length: 100 }, (_, index) => server.request('GET', '/v1/environments', { key: `clst_${round}_${index}` })),
      );
      for (const answer of answers) {
        await answer.body?.cancel();
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      }
    }
    assert.deepEqual(
      [...statuses.keys()].sort((a, b) => a - b),
      [401, 429],
    );
    assert.ok((statuses.get(429) ?? 0) >= 9900, JSON.stringify([...statuses]));
    assert.equal((await server.json('GET', '/v1/environments')).status, 200, 'a key that was right lately is not locked out');
    const refused = await server.json('GET', '/v1/environments', { key: 'clst_once_more' });
    assert.ok(Number(refused.headers.get('retry-after')) >= 1);
  });

  it('of streams and waiting requests, for a tenant and in all', async () => {
    await using server = await startTestServer({ env: { MAX_STREAMS: '3', MAX_STREAMS_PER_TENANT: '2' } });
    const session = await server.createSession();
    const one = await openStream(server, session);
    const two = await openStream(server, session);
    const third = await server.json('GET', `/v1/sessions/${session}/events/stream`);
    assert.deepEqual([third.status, third.body.error.code, third.headers.get('retry-after')], [429, 'capacity_exhausted', '10']);
    const waiting = await server.json('POST', `/v1/sessions/${session}/events?wait=5`, { body: { events: [message()] } });
    assert.equal(waiting.status, 429);
    assert.equal(await metric(server, 'cloister_streams'), 2);
    await one[Symbol.asyncDispose]();
    await waitFor(async () => (await metric(server, 'cloister_streams')) === 1, { timeoutMs: 5000, what: 'the slot to be free' });
    const answered = await server.json('POST', `/v1/sessions/${session}/events?wait=10`, { body: { events: [message()] } });
    assert.equal(answered.body.turn.outcome, 'completed');
    await two[Symbol.asyncDispose]();
    await waitFor(async () => (await metric(server, 'cloister_streams')) === 0, { timeoutMs: 5000, what: 'all slots to be free' });
  });

  it('of what waits in the queue', async () => {
    await using server = await startTestServer({ env: { MAX_QUEUED_PER_TENANT: '5' } });
    const session = await server.createSession();
    const send = (number: number) =>
      server.json('POST', `/v1/sessions/${session}/events`, { body: { events: Array.from({ length: number }, () => message()) } });
    const refused = await send(6);
    assert.deepEqual([refused.status, refused.body.error.code, refused.headers.get('retry-after')], [429, 'capacity_exhausted', '5']);
    assert.equal((await send(3)).status, 200);
  });

  it('of requests at once: 503, but health and metrics answer', async () => {
    await using server = await startTestServer({ env: { MAX_REQUESTS_AT_ONCE: '1' } });
    const body = new TransformStream<Uint8Array, Uint8Array>();
    const writer = body.writable.getWriter();
    const headers = { 'x-api-key': server.key, 'content-type': 'application/json' };
    const slow = fetch(`${server.url}/v1/agents`, { method: 'POST', headers, body: body.readable, duplex: 'half' } as RequestInit);
    await writer.write(new TextEncoder().encode('{"name":"Ada",'));
    const refused = await waitFor(
      async () => {
        const answer = await server.json('GET', '/v1/environments');
        return answer.status === 503 ? answer : undefined;
      },
      { timeoutMs: 5000, what: 'the first to be under way' },
    );
    assert.deepEqual([refused.body.error.code, refused.headers.get('retry-after')], ['overloaded', '1']);
    assert.equal((await server.request('GET', '/health', { key: null })).status, 200);
    assert.equal((await metric(server, 'cloister_refusals_total{reason="requests"}')) !== undefined, true);
    await writer.write(new TextEncoder().encode('"model":"demo"}'));
    await writer.close();
    assert.equal((await slow).status, 200);
    assert.equal((await server.json('GET', '/v1/environments')).status, 200);
  });
});
