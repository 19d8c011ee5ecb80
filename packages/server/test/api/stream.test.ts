import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { message, startTestServer, type TestServer, type Wire } from '../support/server.ts';
import { openStream } from '../support/sse.ts';

const seqs = (events: readonly Wire[]): number[] => events.map((event) => event.seq);
const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1);
const isIdle = (event: Wire): boolean => event.type === 'session.status_idle';

describe('the event stream', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server?.[Symbol.asyncDispose]());

  const send = (session: string, text: string, query = '') =>
    server.json('POST', `/v1/sessions/${session}/events${query}`, { body: { events: [message(text)] } });
  const lastSeq = async (session: string): Promise<number> => (await server.json('GET', `/v1/sessions/${session}`)).body.last_seq;

  it('begins with what is new, and carries seq and type as id and event', async () => {
    const session = await server.createSession();
    await send(session, 'old', '?wait=10');
    const before = await lastSeq(session);
    await using stream = await openStream(server, session);
    await send(session, 'new');
    const events = await stream.readUntil(isIdle);
    assert.equal(events[0].seq, before + 1);
    for (const event of events) assert.deepEqual([event.sseId, event.sseEvent], [String(event.seq), event.type]);
    const listed = (await server.json('GET', `/v1/sessions/${session}/events`)).body.data.slice(before);
    assert.deepEqual(
      events.map(({ sseId: _id, sseEvent: _event, processed_at: _when, ...event }) => event),
      listed.map(({ processed_at: _when, ...event }: Wire) => event),
    );
  });

  it('replays after any place, while events keep coming, without a gap or a double', async () => {
    const session = await server.createSession();
    const sending = (async () => {
      for (let turn = 0; turn < 15; turn++) await send(session, `m${turn}`, '?wait=10');
    })();
    const readers = await Promise.all(
      [0, 0, 3, 7].map(async (after, index) => {
        await using stream = await openStream(server, session, index % 2 === 0 ? { query: `?after=${after}` } : { lastEventId: after });
        let idles = 0;
        const seen = await stream.readUntil((event) => isIdle(event) && ++idles === (after === 0 ? 12 : 10));
        return { after, seen };
      }),
    );
    await sending;
    for (const { after, seen } of readers) assert.deepEqual(seqs(seen), upTo(seen.at(-1)?.seq).slice(after));

    // A reader that leaves after every few events and comes back with its last id.
    const collected: Wire[] = [];
    const last = await lastSeq(session);
    while ((collected.at(-1)?.seq ?? 0) < last) {
      const from = collected.at(-1)?.seq ?? 0;
      await using stream = await openStream(server, session, { lastEventId: from });
      collected.push(...(await stream.readUntil((_, all) => all.length === 7 || all.at(-1)?.seq === last)));
    }
    assert.deepEqual(seqs(collected), upTo(last));
  });

  it('prefers Last-Event-ID, which a browser sends when it comes back', async () => {
    const session = await server.createSession();
    await send(session, 'one', '?wait=10');
    await using stream = await openStream(server, session, { query: '?after=0', lastEventId: 3 });
    assert.equal((await stream.readUntil(() => true))[0].seq, 4);
  });

  it('goes on after a restart of the server where it stopped', async () => {
    const session = await server.createSession();
    const stream = await openStream(server, session, { query: '?after=0' });
    await send(session, 'before', '?wait=10');
    const first = await stream.readUntil(isIdle);
    await server.restart();
    await stream[Symbol.asyncDispose]();
    await using again = await openStream(server, session, { lastEventId: first.at(-1).seq });
    await send(session, 'after');
    const second = await again.readUntil(isIdle);
    assert.deepEqual(seqs([...first, ...second]), upTo(second.at(-1).seq));
    assert.match(JSON.stringify(second), /echo: after \| turns=2/);
  });

  it('shows previews only to those who ask, and only while they happen', async () => {
    const session = await server.createSession();
    await using asking = await openStream(server, session, { query: '?event_deltas[]=agent.message' });
    await using plain = await openStream(server, session);
    await send(session, '[[slow 3 20]]');
    const [previewed, events] = await Promise.all([asking.readUntil(isIdle), plain.readUntil(isIdle)]);
    const previews = previewed.filter((event) => event.type.startsWith('event_'));
    assert.ok(previews.length >= 2, JSON.stringify(previewed));
    assert.ok(previews.every((event) => event.sseId === undefined && event.seq === undefined));
    assert.ok(events.every((event) => !event.type.startsWith('event_')));
    await using late = await openStream(server, session, { query: '?event_deltas[]=agent.message&after=0' });
    const replayed = await late.readUntil(isIdle);
    assert.deepEqual(seqs(replayed), seqs(events));
  });

  it('ends when the session is deleted', async () => {
    const session = await server.createSession();
    await send(session, 'one', '?wait=10');
    await using stream = await openStream(server, session, { query: '?after=0' });
    await stream.readUntil(isIdle);
    assert.equal((await server.request('DELETE', `/v1/sessions/${session}`)).status, 200);
    assert.deepEqual(
      (await stream.readToEnd()).map((event) => event.type),
      ['session.deleted'],
    );
  });

  it('delivers an event as large as a message may be', async () => {
    const session = await server.createSession();
    const text = 'x'.repeat(900_000);
    await using live = await openStream(server, session);
    await send(session, text);
    await send(session, text);
    let ends = 0;
    const events = await live.readUntil((event) => event.type === 'turn.ended' && ++ends === 2);
    assert.deepEqual(seqs(events), upTo(events.length));
    assert.equal(events.filter((event) => event.type === 'user.message' && event.content[0].text === text).length, 2);
  });

  it('answers HEAD without opening a stream', async () => {
    const session = await server.createSession();
    const response = await server.request('HEAD', `/v1/sessions/${session}/events/stream`);
    assert.deepEqual([response.status, response.headers.get('content-type')], [200, 'text/event-stream; charset=utf-8']);
  });
});
