import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { message, startTestServer, type TestServer, type Wire } from '../support/server.ts';

describe('Idempotency-Key', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server?.[Symbol.asyncDispose]());

  const send = (session: string, key: string, text: string, query = '') =>
    server.json('POST', `/v1/sessions/${session}/events${query}`, {
      headers: { 'idempotency-key': key },
      body: { events: [message(text)] },
    });
  const messages = async (session: string) =>
    (await server.json('GET', `/v1/sessions/${session}/events?types[]=user.message`)).body.data as readonly Wire[];

  it('answers the first result again and does nothing else', async () => {
    const session = await server.createSession();
    const first = await send(session, 'k1', 'once', '?wait=10');
    const again = await send(session, 'k1', 'once', '?wait=10');
    assert.deepEqual(
      again.body.data.map((event: Wire) => event.id),
      first.body.data.map((event: Wire) => event.id),
    );
    assert.deepEqual(again.body.turn, first.body.turn);
    assert.equal((await messages(session)).length, 1);
  });

  it('makes one message of many at the same moment', async () => {
    const session = await server.createSession();
    const answers = await Promise.all(Array.from({ length: 10 }, () => send(session, 'k2', 'at once')));
    assert.equal(new Set(answers.map(({ body }) => body.data[0].id)).size, 1);
    assert.equal((await messages(session)).length, 1);
  });

  it('refuses another body or another session under the same key', async () => {
    const [one, two] = [await server.createSession(), await server.createSession()];
    assert.equal((await send(one, 'k3', 'first')).status, 200);
    for (const answer of [await send(one, 'k3', 'second'), await send(two, 'k3', 'first')]) {
      assert.equal(answer.status, 422);
      assert.equal(answer.body.error.code, 'idempotency_mismatch');
    }
    assert.equal((await messages(two)).length, 0);
  });

  it('refuses a key that is none', async () => {
    const session = await server.createSession();
    for (const key of ['a b', 'x'.repeat(256)]) {
      const { status, body } = await send(session, key, 'hello');
      assert.deepEqual([status, body.error.errors[0].pointer], [400, 'Idempotency-Key']);
    }
  });

  it('is remembered across a restart', async () => {
    const session = await server.createSession();
    const first = await send(session, 'k4', 'before', '?wait=10');
    await server.restart();
    const again = await send(session, 'k4', 'before', '?wait=10');
    assert.equal(again.body.data[0].id, first.body.data[0].id);
    assert.equal(again.body.turn.outcome, 'completed');
    assert.equal((await send(session, 'k4', 'after')).body.error.code, 'idempotency_mismatch');
    assert.equal((await messages(session)).length, 1);
  });
});
