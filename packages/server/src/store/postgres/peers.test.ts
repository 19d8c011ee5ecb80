import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Client } from 'pg';
import { type PostgresStores, skipWithoutPostgres, startPostgresStores } from '../../../test/support/postgres-stores.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import { createEventBus, type EventBus } from '../../sessions/event-bus.ts';
import { accept, append, createSession, finish, lease, message, newEvent, queue, readLog, T0, TENANT } from '../conformance/kit.ts';
import type { CommitNotice, JsonObject, Preview, Store, StoredEvent } from '../store.ts';
import { formatNotices, formatPreviews, parseMessage } from './messages.ts';

async function execute(url: string, sql: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  await client.query(sql);
  await client.end();
}

/** Ends the connections over which the servers hear of each other. */
const CUT_PEERS = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE datname = current_database() AND application_name = 'cloister_peers'`;

describe('servers on one PostgreSQL', { skip: skipWithoutPostgres, timeout: 60_000 }, () => {
  let stores: PostgresStores;
  let url: string;
  let one: Store;
  let other: Store;
  let bus: EventBus;

  before(async () => {
    stores = await startPostgresStores();
    url = await stores.createDatabase();
    one = await stores.open(url);
    other = await stores.open(url);
    bus = createEventBus(other);
    await meet();
  });
  after(async () => {
    bus.close();
    await stores.close();
  });

  /** Resolves when each has heard of the other. */
  async function meet(): Promise<void> {
    const { id } = await createSession(one);
    const heard: CommitNotice[] = [];
    const stops = [one, other].map((store) =>
      store.events.onCommit((notices) => heard.push(...notices.filter(({ isRemote }) => isRemote))),
    );
    await waitFor(
      async () => {
        await queue(one, id);
        await queue(other, id);
        return heard.length > 0 && new Set(heard.map(({ fromSeq }) => fromSeq % 2)).size === 2;
      },
      { timeoutMs: 10_000, what: 'the servers to know each other' },
    );
    for (const stop of stops) stop();
  }

  function follow(sessionId: string): { events: StoredEvent[]; previews: JsonObject[] } {
    const seen: { events: StoredEvent[]; previews: JsonObject[] } = { events: [], previews: [] };
    bus.subscribe(
      { tenantId: TENANT, sessionId },
      {
        onEvents: (events) => seen.events.push(...events),
        onPreview: (preview) => seen.previews.push(preview),
      },
    );
    return seen;
  }

  test('a commit of one is heard by the other at once, without its events', async () => {
    const { id } = await createSession(one);
    const waits: number[] = [];
    for (let round = 0; round < 20; round++) {
      const { promise, resolve } = Promise.withResolvers<CommitNotice>();
      const stop = other.events.onCommit((notices) =>
        notices.filter(({ isRemote, sessionId }) => isRemote && sessionId === id).forEach(resolve),
      );
      await queue(one, id);
      const began = performance.now();
      const notice = await promise;
      waits.push(performance.now() - began);
      stop();
      assert.deepEqual(notice, {
        tenantId: TENANT,
        sessionId: id,
        fromSeq: round + 1,
        toSeq: round + 1,
        types: ['user.message'],
        isRemote: true,
      });
    }
    const median = waits.toSorted((a, b) => a - b)[10] ?? Number.NaN;
    assert.ok(median < 50, `heard after ${median} ms`);
  });

  test('one does not hear of its own commits as of another, and each once', async () => {
    const { id } = await createSession(one);
    const heard: CommitNotice[] = [];
    const stop = one.events.onCommit((notices) => heard.push(...notices.filter(({ sessionId }) => sessionId === id)));
    await queue(one, id);
    await queue(other, id);
    await waitFor(() => heard.length === 2, { timeoutMs: 5000, what: 'both commits' });
    assert.deepEqual(
      heard.map(({ isRemote, events }) => [isRemote, events?.length]),
      [
        [false, 1],
        [true, undefined],
      ],
    );
    stop();
  });

  test('who follows a session sees what both commit, once and in order', async () => {
    const { id } = await createSession(one);
    const { events } = follow(id);
    await Promise.all(Array.from({ length: 40 }, (_, index) => accept(index % 2 === 0 ? one : other, id, [message(), message()])));
    const leased = await lease(one);
    await append(one, leased, { events: [newEvent('agent.message')] });
    await finish(one, leased);
    const log = await readLog(one, id);
    await waitFor(() => events.length >= log.length, { timeoutMs: 5000, what: 'all events' });
    assert.deepEqual(
      events.map((event) => event.id),
      log.map((event) => event.id),
    );
  });

  test('that a session was removed is seen at the other server', async () => {
    const { id } = await createSession(one);
    await queue(one, id);
    const { events } = follow(id);
    await one.sessions.remove({ tenantId: TENANT, id, event: newEvent('session.deleted'), now: T0 });
    await waitFor(() => events.some(({ type }) => type === 'session.deleted'), { timeoutMs: 5000, what: 'the removal' });
  });

  test('previews go along, in their order', async () => {
    const { id } = await createSession(one);
    const { previews } = follow(id);
    const mine = createEventBus(one);
    const sent = Array.from({ length: 50 }, (_, index) => ({ type: 'event_delta', text: `${index} ${'x'.repeat(300)}` }));
    for (const preview of sent) mine.publishPreview(id, preview);
    await waitFor(() => previews.length === sent.length, { timeoutMs: 5000, what: 'the previews' });
    assert.deepEqual(previews, sent);
    mine.close();
  });

  test('what was lost with the connection is found, and then notices come again', async () => {
    const { id } = await createSession(one);
    const { events } = follow(id);
    await queue(one, id);
    await waitFor(() => events.length === 1, { timeoutMs: 5000, what: 'the first event' });
    await execute(url, CUT_PEERS);
    for (let round = 0; round < 5; round++) await queue(one, id);
    await waitFor(() => events.length === 6, { timeoutMs: 15_000, what: 'the events of the gap' });
    await meet();
    assert.deepEqual(
      events.map(({ seq }) => seq),
      [1, 2, 3, 4, 5, 6],
    );
  });
});

describe('messages between servers', () => {
  const notice = (index: number): CommitNotice => ({
    tenantId: 'default',
    sessionId: `ses_${String(index).padStart(32, '0')}`,
    fromSeq: index,
    toSeq: index + 1,
    types: ['user.message', 'session.status_running'],
    isRemote: true,
  });

  test('many are as few messages as their size allows, and nothing is lost on the way', () => {
    const notices = Array.from({ length: 300 }, (_, index) => notice(index));
    const payloads = formatNotices('nod_one', notices);
    assert.ok(payloads.length > 2 && payloads.length < 10);
    for (const payload of payloads) assert.ok(Buffer.byteLength(payload) < 8000);
    assert.deepEqual(
      payloads.flatMap((payload) => parseMessage(payload)?.notices ?? []),
      notices,
    );
  });

  test('a preview that is too large is left out', () => {
    const preview = (text: string): Preview => ({ sessionId: 'ses_one', preview: { text } });
    const payloads = formatPreviews('nod_one', [preview('a'), preview('ü'.repeat(5000)), preview('b')]);
    assert.deepEqual(
      payloads.flatMap((payload) => parseMessage(payload)?.previews ?? []),
      [preview('a'), preview('b')],
    );
  });

  test('what none of us has said is passed by', () => {
    for (const payload of ['', '{', '[]', '{"node":1}', 'null']) assert.equal(parseMessage(payload), undefined);
    assert.deepEqual(parseMessage('{"node":"n","notices":[1,[],["t","s","1",2,[]]],"previews":{}}')?.notices, []);
  });
});
