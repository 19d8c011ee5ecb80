import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { createAdaptorServer, type Http2Bindings, type HttpBindings } from '@hono/node-server';
import { createManualClock, type ManualClock } from '../../test/support/manual-clock.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { systemClock } from '../base/clock.ts';
import { newId } from '../base/ids.ts';
import { silentLogger } from '../base/log.ts';
import { createEventBus, type EventBus } from '../sessions/event-bus.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import type { Store } from '../store/store.ts';
import { type EventStreamInput, eventStream } from './sse.ts';

const TENANT = 'default';
const KIB = 1024;

describe('a reader of the event stream', { timeout: 30_000 }, () => {
  let store: Store;
  let bus: EventBus;
  let clock: ManualClock;
  let sessionId: string;

  beforeEach(async () => {
    clock = createManualClock();
    store = await openSqliteStore({ file: ':memory:', clock: systemClock });
    bus = createEventBus(store);
    sessionId = newId('session');
    await store.sessions.create({
      id: sessionId,
      tenantId: TENANT,
      agentId: 'agt',
      agentVersion: 1,
      agent: {},
      environmentId: 'env',
      environment: {},
      title: null,
      metadata: {},
      now: 0,
    });
  });

  afterEach(async () => {
    bus.close();
    await store.close();
  });

  const open = (after = 0, ends: Partial<EventStreamInput> = {}) =>
    eventStream(
      { store, bus, clock, log: silentLogger },
      { tenantId: TENANT, sessionId, after, previews: new Set(['agent.message']), ...ends },
    );

  async function append(count: number, bytes = 10): Promise<void> {
    const events = Array.from({ length: count }, () => ({
      id: newId('event'),
      type: 'user.interrupt',
      payload: { filler: 'x'.repeat(bytes) },
      processedAt: 0,
      effect: { kind: 'none' as const },
    }));
    await store.turns.accept({ tenantId: TENANT, sessionId, events, maxQueuedPerSession: 1, now: 0 });
  }

  /** Reads frames until one matches. */
  async function readUntil(reader: ReadableStreamDefaultReader<Uint8Array>, pattern: RegExp): Promise<string> {
    let text = '';
    while (!pattern.test(text)) {
      const { value, done } = await reader.read();
      if (done) return text;
      text += Buffer.from(value).toString();
    }
    return text;
  }

  const idsIn = (text: string): number[] => [...text.matchAll(/^id: (\d+)$/gm)].map((match) => Number(match[1]));
  const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1);

  it('gets a comment every 15 s, and no timer is left when it goes', async () => {
    const reader = open().getReader();
    await readUntil(reader, /stream of session events/);
    clock.advance(14_999);
    await append(1);
    assert.doesNotMatch(await readUntil(reader, /^id: 1$/m), /keep-alive/);
    clock.advance(1);
    assert.equal(await readUntil(reader, /keep-alive/), ': keep-alive\n\n');
    clock.advance(15_000);
    assert.equal(await readUntil(reader, /keep-alive/), ': keep-alive\n\n');
    await reader.cancel();
    assert.equal(clock.pending(), 0);
  });

  it('gets previews only once the past is told', async () => {
    await append(3);
    const reader = open().getReader();
    const preview = { type: 'event_start', event: { type: 'agent.message', id: 'evt_1' } };
    bus.publishPreview(sessionId, preview);
    assert.doesNotMatch(await readUntil(reader, /^id: 3$/m), /event_start/);
    // The log is read once more before the reader is live.
    await append(1);
    await readUntil(reader, /^id: 4$/m);
    const read = readUntil(reader, /event_start[\s\S]*\n\n/);
    const again = setInterval(() => bus.publishPreview(sessionId, preview), 5);
    assert.doesNotMatch(await read, /^id:/m);
    clearInterval(again);
    await reader.cancel();
  });

  it('is waited for while it is slow, and misses nothing', async () => {
    const reader = open().getReader();
    await readUntil(reader, /stream of session events/);
    for (let i = 0; i < 20; i++) await append(1, 100 * KIB);
    clock.advance(29_000);
    const first = await readUntil(reader, /^id: 10$/m);
    clock.advance(29_000);
    const rest = await readUntil(reader, /^id: 20$/m);
    assert.deepEqual([...idsIn(first), ...idsIn(rest)], upTo(20));
    await reader.cancel();
  });

  it('is cut when it takes nothing for 30 s', async () => {
    const reader = open().getReader();
    await readUntil(reader, /stream of session events/);
    for (let i = 0; i < 6; i++) await append(1, 100 * KIB);
    await waitFor(() => clock.pending() === 2, { timeoutMs: 5000, what: 'the stream to wait for its reader' });
    clock.advance(30_000);
    await assert.rejects(readUntil(reader, /^id: 6$/m), /its reader does not read/);
    assert.equal(clock.pending(), 0);
  });

  it('takes a bounded amount of memory over a real connection that is never read, and is cut without a word', async (t) => {
    const printed = [t.mock.method(console, 'error', () => undefined), t.mock.method(console, 'info', () => undefined)];
    let ends = 0;
    const fetch = (_request: Request, { outgoing }: HttpBindings | Http2Bindings) =>
      new Response(open(0, { onEnd: () => void ends++, cut: () => void outgoing.destroy() }));
    const server = createAdaptorServer({ fetch, createServer: http.createServer }) as http.Server;
    let peer: net.Socket | undefined;
    server.on('connection', (accepted: net.Socket) => {
      peer = accepted;
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const socket = net.connect(address.port, '127.0.0.1').pause();
    socket.on('error', () => undefined);
    socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    await append(1);
    for (let i = 0; i < 40; i++) await append(1, 1024 * KIB);
    await waitFor(() => clock.pending() === 2, { timeoutMs: 5000, what: 'the stream to wait for its reader' });
    assert.ok((peer?.writableLength ?? 0) < 4 * 1024 * KIB, `${peer?.writableLength} bytes wait in the socket`);
    clock.advance(30_000);
    await waitFor(() => peer?.destroyed, { timeoutMs: 5000, what: 'the connection to be cut' });
    assert.deepEqual([clock.pending(), ends], [0, 1]);
    socket.destroy();
    const closed = once(server, 'close');
    server.close();
    await closed;
    for (const method of printed) assert.equal(method.mock.callCount(), 0);
  });
});
