import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createClient } from '@cloister/api';
import { systemClock } from '../../src/base/clock.ts';
import { createSession, finish, lease, message, newEvent, queue, TENANT } from '../../src/store/conformance/kit.ts';
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { openStream } from '../support/sse.ts';
import { waitFor } from '../support/wait-for.ts';

const DAY_MS = 24 * 3600 * 1000;
const MS = 10_000;

describe('what is kept no longer', () => {
  let dataDir: string;
  let server: TestServer;
  const ids = { idle: '', aged: '', open: '', fresh: '' };

  before(async () => {
    dataDir = await mkdtemp(path.join(os.tmpdir(), 'cloister-retention-'));
    const now = systemClock.now();
    const old = now - 3 * DAY_MS;
    const store = await openSqliteStore({ file: path.join(dataDir, 'cloister.db'), clock: systemClock });
    const withTurn = async (sessionId: string, at: number): Promise<void> => {
      await queue(store, sessionId, at);
      await finish(store, await lease(store, { now: at }), { now: at });
    };
    for (const name of ['idle', 'aged', 'fresh'] as const) {
      ids[name] = (await createSession(store, { now: old })).id;
      await withTurn(ids[name], old);
    }
    // More than one batch.
    for (let index = 0; index < 130; index++) await withTurn(ids.idle, old);
    await withTurn(ids.aged, now);
    await withTurn(ids.fresh, now);
    ids.open = (await createSession(store, { now: old })).id;
    await store.turns.accept({
      tenantId: TENANT,
      sessionId: ids.open,
      events: [message('wait')],
      maxQueuedPerSession: 9,
      now: old,
    });
    const { turn } = await lease(store, { now: old });
    const question = newEvent('agent.tool_use');
    await store.turns.append({
      turnId: turn.id,
      attempt: turn.attempt,
      events: [question],
      approvals: [{ id: question.id, toolName: 'bash', input: {} }],
      state: 'waiting_approval',
      isParked: true,
      now: old,
    });
    await store.close();
    await mkdir(path.join(dataDir, 'sessions', ids.idle, 'workspace'), { recursive: true });
    server = await startTestServer({ dataDir, env: { SESSION_TTL_HOURS: '24', EVENT_RETENTION_DAYS: '1' } });
    await waitFor(async () => (await server.request('GET', `/v1/sessions/${ids.idle}`)).status === 404, {
      timeoutMs: MS,
      what: 'the idle session to be removed',
    });
    await waitFor(async () => (await firstSeq(ids.aged)) === 5 && (await firstSeq(ids.fresh)) === 5, {
      timeoutMs: MS,
      what: 'the logs to be cut',
    });
  });
  after(async () => {
    await server?.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  const firstSeq = async (id: string): Promise<number> => (await server.json('GET', `/v1/sessions/${id}/events`)).body.first_seq;

  it('is gone: a session that was idle for long, with its files', async () => {
    assert.equal(existsSync(path.join(dataDir, 'sessions', ids.idle)), false);
    const metrics = await (await server.request('GET', '/metrics')).text();
    assert.match(metrics, /cloister_retention_purged_total\{kind="sessions"\} 1\n/);
    assert.match(metrics, /cloister_retention_purged_total\{kind="session_rows"\} 655\n/);
  });

  it('is kept while a turn is open', async () => {
    assert.equal(await firstSeq(ids.open), 1);
    assert.equal((await server.json('GET', `/v1/sessions/${ids.open}/turns`)).body.data[0].state, 'waiting_approval');
  });

  it('is told of by the listing and by the stream, which goes on behind it', async () => {
    const { data, first_seq } = (await server.json('GET', `/v1/sessions/${ids.aged}/events`)).body;
    assert.deepEqual([first_seq, data[0].seq], [5, 5]);
    for (const input of [{ query: '?after=0' }, { lastEventId: 3 }]) {
      await using stream = await openStream(server, ids.aged, input);
      const [reset, first] = await stream.readUntil((_event, all) => all.length === 2);
      assert.deepEqual([reset.sseEvent, reset.sseId, reset.type, reset.first_seq], ['stream.reset', '4', 'stream.reset', 5]);
      assert.equal(first.seq, 5);
    }
    await using whole = await openStream(server, ids.aged, { lastEventId: 4 });
    assert.equal((await whole.readUntil(() => true))[0].seq, 5, 'nothing that was asked for is missing');
    const client = createClient({ url: server.url, key: server.key });
    const seen: unknown[] = [];
    for await (const item of client.events.stream(ids.aged, { after: 0 })) {
      seen.push(item.type === 'reset' ? item.firstSeq : item.type === 'event' && item.event.seq);
      if (seen.length === 3) break;
    }
    assert.deepEqual(seen, [5, 5, 6]);
  });
});
