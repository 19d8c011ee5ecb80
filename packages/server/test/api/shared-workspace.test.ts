import assert from 'node:assert/strict';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Client, createClient } from '@cloister/api';
import { message, startTestServer, type TestServer } from '../support/server.ts';

const bytes = (text: string) => new Uint8Array(Buffer.from(text));
const skip = process.platform === 'linux' ? false : 'files of workspaces are reached on Linux only';

describe('workspaces by policy', { skip }, () => {
  let server: TestServer;
  let client: Client;
  let agent: string;
  before(async () => {
    server = await startTestServer({ env: { PRESTART_SANDBOXES: 'false' } });
    client = createClient({ url: server.url, key: server.key });
    agent = (await client.agents.create({ name: 'shares', model: 'demo' })).id;
  });
  after(() => server?.[Symbol.asyncDispose]());
  const onDisk = (...parts: string[]) => path.join(server.dataDir, 'sessions', ...parts);
  const newSession = async (config: object, ofAgent = agent) => {
    const environment = await client.environments.create({ name: 'policy', config: { type: 'container', ...config } });
    return (await client.sessions.create({ agent: ofAgent, environment_id: environment.id })).id;
  };
  const say = async (session: string) => {
    const sent = await server.json('POST', `/v1/sessions/${session}/events?wait=60`, { body: { events: [message()] } });
    assert.equal(sent.body.turn.outcome, 'completed', JSON.stringify(sent.body));
  };
  const textOf = async (session: string, name: string) => (await client.files.read(session, name)).text();

  it('shared by an agent are one for all its sessions, and each has a home of its own', async () => {
    const [one, other] = [await newSession({ workspace: 'agent' }), await newSession({ workspace: 'agent' })];
    const stranger = await newSession({ workspace: 'agent' }, (await client.agents.create({ name: 'another', model: 'demo' })).id);
    await client.files.write(one, 'src/a.txt', bytes('a'));
    assert.equal(await textOf(other, 'src/a.txt'), 'a');
    assert.deepEqual((await client.files.list(stranger)).data, []);
    assert.equal((await client.workspace(other)).scope, 'agent');
    for (const session of [one, other]) await say(session);
    assert.notDeepEqual(readdirSync(onDisk(one, 'home')), readdirSync(onDisk(other, 'home')));
    assert.equal(existsSync(onDisk(one, 'workspace')), false);

    // A fork has the same one; a snapshot is kept of it, and brought back by no single session.
    const fork = await client.sessions.fork(one);
    assert.deepEqual([fork.workspace, fork.workspace_seq], ['current', null]);
    await client.files.write(fork.id, 'src/b.txt', bytes('b'));
    assert.equal(await textOf(one, 'src/b.txt'), 'b');
    const { id } = await client.snapshots.create(one);
    await assert.rejects(client.snapshots.restore(one, id), { code: 'capability_unsupported' });

    for (const session of [one, other, fork.id]) await client.sessions.remove(session);
    assert.ok(existsSync(onDisk('.agents', agent, 'workspace', 'src', 'b.txt')), 'it stays for sessions to come');
    assert.equal(await textOf(await newSession({ workspace: 'agent' }), 'src/b.txt'), 'b');
  });

  it('are checked', async () => {
    for (const config of [{ workspace: 'tenant' }, { snapshots: 'hour' }, { workspace: 'agent', snapshots: 'turn' }])
      await assert.rejects(newSession(config), { code: 'request_invalid' });
  });

  it('kept at the end of each turn are those of a fork at an event', async () => {
    const session = await newSession({ snapshots: 'turn' });
    const write = (text: string) => client.files.write(session, 'a.txt', bytes(text));
    const ends = async () => (await client.events.list(session, { limit: 1000 })).data.filter(({ type }) => type === 'turn.ended');
    await write('first');
    await say(session);
    await write('second');
    await client.files.write(session, 'more/b.txt', bytes('b'));
    await say(session);
    await write('now');
    const [first, second] = await ends();
    const forkAt = async (event: string | undefined) => {
      const { id, workspace } = await client.sessions.fork(session, { event_id: event ?? '' });
      return [workspace, await textOf(id, 'a.txt'), (await client.files.list(id)).data.length];
    };
    assert.deepEqual(await forkAt(first?.id), ['as_of_event', 'first', 1]);
    assert.deepEqual((await client.sessions.fork(session)).workspace, 'current');
    const beginning = (await client.events.list(session, { limit: 1 })).data[0]?.id;
    assert.deepEqual(await forkAt(beginning), ['current', 'now', 2], 'nothing was kept before it');
    // The last event is the whole log, so the files are those of now; before it, those of the turn's end.
    await say(session);
    assert.deepEqual(await forkAt(second?.id), ['as_of_event', 'second', 2]);
    for (let turns = 0; turns < 9; turns++) await say(session);
    assert.equal(readdirSync(onDisk('.snapshots', session, 'turns')).length, 10);
    assert.deepEqual(await forkAt(first?.id), ['current', 'now', 2], 'the oldest are removed');
    writeFileSync(onDisk(session, 'workspace', 'new'), 'x');
    await client.sessions.remove(session);
    assert.equal(existsSync(onDisk('.snapshots', session)), false);
  });
});
