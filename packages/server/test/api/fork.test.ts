import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Client, createClient } from '@cloister/api';
import { message, OTHER_KEY, startTestServer, type TestServer, type Wire } from '../support/server.ts';

describe('a fork', { skip: process.platform === 'linux' ? false : 'files of workspaces are reached on Linux only' }, () => {
  let server: TestServer;
  let client: Client;
  let session: string;
  before(async () => {
    server = await startTestServer();
    client = createClient({ url: server.url, key: server.key });
    session = await server.createSession();
    for (const text of ['the first', 'the second']) await say(session, text);
    await client.files.write(session, 'src/a.txt', new Uint8Array(Buffer.from('a')));
  });
  after(() => server?.[Symbol.asyncDispose]());
  const say = async (id: string, text: string): Promise<Wire> => {
    const { body } = await server.json('POST', `/v1/sessions/${id}/events?wait=20`, { body: { events: [message(text)] } });
    assert.equal(body.turn.outcome, 'completed', JSON.stringify(body));
    return body;
  };
  const log = async (id: string): Promise<readonly Wire[]> =>
    (await server.json('GET', `/v1/sessions/${id}/events?limit=100&order=asc`)).body.data;
  const bare = (events: readonly Wire[]) => events.map(({ type, content }) => ({ type, content }));

  it('has the log, the files and the memory, and goes its own way', async () => {
    const key = { headers: { 'idempotency-key': 'fork-once' }, body: { title: 'other' } };
    const forked = (await server.json('POST', `/v1/sessions/${session}/fork`, key)).body;
    assert.deepEqual([forked.title, forked.status], ['other', 'idle']);
    assert.notEqual(forked.id, session);
    assert.equal((await server.json('POST', `/v1/sessions/${session}/fork`, key)).body.id, forked.id);
    const [ours, theirs] = [await log(session), await log(forked.id)];
    assert.deepEqual(bare(theirs), bare(ours));
    assert.deepEqual(
      theirs.filter(({ id }) => ours.some((one) => one.id === id)),
      [],
    );
    assert.equal(await (await client.files.read(forked.id, 'src/a.txt')).text(), 'a');
    const home = (id: string) => readdirSync(path.join(server.dataDir, 'sessions', id, 'home'));
    assert.deepEqual(home(forked.id), home(session));
    await client.files.write(forked.id, 'src/a.txt', new Uint8Array(Buffer.from('b')));
    await say(forked.id, 'the third');
    assert.equal((await log(session)).length, ours.length);
    assert.equal(await (await client.files.read(session, 'src/a.txt')).text(), 'a');
  });

  it('at an event ends there, and its agent begins anew', async () => {
    const events = await log(session);
    const at = events.findIndex(({ type }) => type === 'agent.message');
    const forked = await client.sessions.fork(session, { event_id: events[at].id });
    assert.deepEqual(bare(await log(forked.id)), bare(events.slice(0, at + 1)));
    assert.ok(existsSync(path.join(server.dataDir, 'sessions', forked.id, 'workspace', 'src', 'a.txt')));
    assert.deepEqual(readdirSync(path.join(server.dataDir, 'sessions', forked.id, 'home')), []);
    await say(forked.id, 'another second');
  });

  it('is refused of what is not there, of a stranger, and while a turn runs', async () => {
    await assert.rejects(client.sessions.fork(session, { event_id: 'evt_0' }), { code: 'event_not_found' });
    const foreign = await server.json('POST', `/v1/sessions/${session}/fork`, { key: OTHER_KEY, body: {} });
    assert.equal(foreign.body.error.code, 'session_not_found');
    const busy = await server.createSession();
    await server.json('POST', `/v1/sessions/${busy}/events`, { body: { events: [message('[[hang]]')] } });
    await assert.rejects(client.sessions.fork(busy), { code: 'session_busy' });
  });
});
