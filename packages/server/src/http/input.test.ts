import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Hono } from 'hono';
import { createManualClock } from '../../test/support/manual-clock.ts';
import { silentLogger } from '../base/log.ts';
import { createRefusals } from '../base/refusals.ts';
import type { AppVariables } from './context.ts';
import { renderError } from './errors.ts';
import { readJson } from './input.ts';
import { createFlights } from './limits/flights.ts';

function createReader(maxBytesAtOnce = 1e6) {
  const [clock, refusals] = [createManualClock(), createRefusals()];
  const flights = createFlights({ maxRequests: 10, maxBytes: maxBytesAtOnce, refusals });
  const app = new Hono<{ Variables: AppVariables }>();
  app.onError((error, c) => renderError(c, error, silentLogger));
  app.post('/', async (c) => {
    const flight = flights.begin({ isAlwaysAnswered: false });
    c.set('flight', flight);
    try {
      return c.json({ read: await readJson(c, { maxBytes: 1000, clock, refusals }) });
    } finally {
      flight.land();
    }
  });
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const send = async (body: ReadableStream<Uint8Array> | string) =>
    app.request('/', { method: 'POST', body, duplex: 'half', headers: { 'content-type': 'application/json' } } as RequestInit);
  return { clock, refusals, readable, writer, send };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

test('a body may come in pieces, but not with a pause of 30 s', async () => {
  const { clock, refusals, readable, writer, send } = createReader();
  const answer = send(readable);
  for (const piece of ['{"a"', ':', '1']) {
    await writer.write(new TextEncoder().encode(piece));
    await settle();
    clock.advance(29_000);
  }
  clock.advance(1000);
  const { status, headers } = await answer;
  assert.deepEqual([status, headers.get('connection')], [408, 'close']);
  assert.deepEqual([...refusals.counts()], [['slow_body', 1]]);
  assert.equal(clock.pending(), 0);
});

test('all bodies together are bounded, and what was read is given back', async () => {
  const { refusals, readable, writer, send } = createReader(600);
  const first = send(readable);
  await writer.write(new TextEncoder().encode(`{"a":"${'x'.repeat(400)}`));
  await settle();
  const large = JSON.stringify({ b: 'y'.repeat(300) });
  const refused = await send(large);
  assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '1']);
  await writer.write(new TextEncoder().encode('"}'));
  await writer.close();
  assert.equal((await first).status, 200);
  assert.equal((await send(large)).status, 200);
  assert.deepEqual([...refusals.counts()], [['bodies', 1]]);
});
