import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Client, createClient } from '@cloister/api';
import { skipWithoutLoopMounts } from '../support/loop-mounts.ts';
import { message, startTestServer, type TestServer } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const MIB = 1024 ** 2;
const bytes = (size: number) => new Uint8Array(size).fill(7);

describe('a quota', { skip: process.platform === 'linux' ? false : 'files of workspaces are reached on Linux only' }, () => {
  let server: TestServer;
  let client: Client;
  let agent: string;
  let environment: string;
  let plain: string;
  before(async () => {
    server = await startTestServer({ env: { PRESTART_SANDBOXES: 'false' } });
    client = createClient({ url: server.url, key: server.key });
    agent = (await client.agents.list()).data[0]?.id ?? '';
    plain = await server.createSession();
    environment = (await client.environments.create({ name: 'small', config: { type: 'container', disk: '64m' } })).id;
  });
  after(() => server?.[Symbol.asyncDispose]());
  const newSession = async () => (await client.sessions.create({ agent, environment_id: environment })).id;
  const onDisk = (session: string, ...parts: string[]) => path.join(server.dataDir, 'sessions', session, ...parts);
  const isMounted = (session: string) => readFileSync('/proc/self/mountinfo', 'utf8').includes(session);
  /** Files that are there already are never covered by a disk, so they are watched. */
  const watchedSession = async () => {
    const session = await newSession();
    mkdirSync(onDisk(session, 'home'), { recursive: true });
    assert.equal((await client.workspace(session)).quota, 'watched');
    return session;
  };

  it('is shown, checked, and none where nobody asks for one', async () => {
    assert.equal((await client.workspace(plain)).quota, 'none');
    for (const disk of ['1m', 'much', 5, '2000g'])
      await assert.rejects(client.environments.create({ name: 'odd', config: { type: 'container', disk } }), { code: 'request_invalid' });
    const shown = await client.environments.get(environment);
    assert.equal('disk' in shown.config ? shown.config.disk : undefined, '64m');
  });

  it('that is watched counts uploads, and leaves nothing of one that is refused', async () => {
    const session = await watchedSession();
    await client.files.write(session, 'a', bytes(40 * MIB));
    await assert.rejects(client.files.write(session, 'b', bytes(30 * MIB)), { code: 'workspace_full', status: 507 });
    assert.deepEqual(readdirSync(onDisk(session, 'staging')), []);
    const { used_bytes: used, max_bytes: max, scope } = await client.workspace(session);
    assert.deepEqual([max, scope, used >= 40 * MIB && used < 41 * MIB], [64 * MIB, 'session', true]);
  });

  it('that is watched ends the turn of who passes it, and says why', async () => {
    const session = await watchedSession();
    await server.json('POST', `/v1/sessions/${session}/events`, { body: { events: [message('[[hang]]')] } });
    await waitFor(async () => (await client.sessions.get(session)).status === 'running', { timeoutMs: 30_000, what: 'the turn to run' });
    writeFileSync(onDisk(session, 'workspace', 'big'), bytes(66 * MIB));
    const ended = await waitFor(
      async () => (await client.events.list(session, { limit: 100 })).data.find(({ type }) => type === 'turn.ended'),
      { timeoutMs: 60_000, what: 'the turn to be stopped' },
    );
    assert.match(JSON.stringify(ended), /"outcome":"failed".*workspace_full/);
    await assert.rejects(client.files.write(session, 'c', bytes(1)), { code: 'workspace_full' });
    await client.files.remove(session, 'big');
    await client.files.write(session, 'c', bytes(1));
  });

  it('with a disk of its own holds for uploads, snapshots, forks and removal', { skip: skipWithoutLoopMounts }, async () => {
    const session = await newSession();
    await client.files.write(session, 'kept', bytes(20 * MIB));
    assert.deepEqual([(await client.workspace(session)).quota, isMounted(session)], ['enforced', true]);
    await assert.rejects(client.files.write(session, 'big', bytes(60 * MIB)), { code: 'workspace_full' });
    assert.deepEqual(
      (await client.files.list(session)).data.map(({ path: name }) => name),
      ['kept'],
    );
    const snapshot = await client.snapshots.create(session);
    await client.files.write(session, 'more', bytes(1));
    const sent = await server.json('POST', `/v1/sessions/${session}/events?wait=30`, { body: { events: [message()] } });
    assert.equal(sent.body.turn.outcome, 'completed');
    await client.snapshots.restore(session, snapshot.id);
    assert.deepEqual(readdirSync(onDisk(session, 'workspace')), ['kept']);
    const fork = await client.sessions.fork(session);
    assert.equal((await client.workspace(fork.id)).quota, 'enforced');
    assert.deepEqual(readdirSync(onDisk(fork.id, 'workspace')), ['kept']);
    rmSync(onDisk(fork.id, 'workspace', 'kept'));
    await client.sessions.remove(session);
    assert.deepEqual(
      [isMounted(session), existsSync(onDisk(session)), existsSync(onDisk('.disks', `${session}.img`))],
      [false, false, false],
    );
    await server.restart();
    assert.equal(isMounted(fork.id), false, 'nothing stays mounted behind a server that stops');
    client = createClient({ url: server.url, key: server.key });
    assert.equal((await client.files.list(fork.id)).data.length, 0);
    assert.equal(isMounted(fork.id), true);
  });
});

it('has a ceiling that the operator sets, for new environments and for those of before', async () => {
  await using server = await startTestServer({ env: { PRESTART_SANDBOXES: 'false', WORKSPACE_QUOTA_MAX: '128m' } });
  const client = createClient({ url: server.url, key: server.key });
  const refused = client.environments.create({ name: 'large', config: { type: 'container', disk: '129m' } });
  await assert.rejects(refused, { code: 'request_invalid', message: /less than that/ });
  await client.environments.create({ name: 'small', config: { type: 'container', disk: '128m' } });
  const { max_bytes: most } = await client.workspace(await server.createSession());
  assert.equal(most, 128 * MIB, 'what all get who ask for nothing');
});
