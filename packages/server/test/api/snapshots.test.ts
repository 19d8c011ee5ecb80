import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Client, createClient } from '@cloister/api';
import { message, OTHER_KEY, startTestServer, type TestServer, type Wire } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

describe('snapshots', { skip: process.platform === 'linux' ? false : 'files of workspaces are reached on Linux only' }, () => {
  let server: TestServer;
  let client: Client;
  before(async () => {
    server = await startTestServer();
    client = createClient({ url: server.url, key: server.key });
  });
  after(() => server?.[Symbol.asyncDispose]());
  const onDisk = (session: string, ...parts: string[]) => path.join(server.dataDir, 'sessions', session, ...parts);
  const bytes = (text: string) => new Uint8Array(Buffer.from(text));

  it('bring a workspace back as it was, links and odd names included, and follow nothing', async () => {
    const session = await server.createSession();
    await client.files.write(session, 'src/a.txt', bytes('before'));
    symlinkSync('/etc/passwd', onDisk(session, 'workspace', 'out'));
    writeFileSync(onDisk(session, 'workspace', 'new\nline'), 'odd');
    const made = await client.snapshots.create(session);
    assert.match(made.id, /^snp_/);
    assert.deepEqual([made.omitted, made.session_id], [0, session]);
    await client.files.write(session, 'src/a.txt', bytes('after'));
    await client.files.write(session, 'src/more.txt', bytes('more'));
    await client.files.remove(session, 'out');
    mkdirSync(onDisk(session, 'workspace', 'new'));
    await client.snapshots.restore(session, made.id);
    assert.equal(await (await client.files.read(session, 'src/a.txt')).text(), 'before');
    assert.deepEqual(readdirSync(onDisk(session, 'workspace')).sort(), ['new\nline', 'out', 'src']);
    assert.equal(existsSync(onDisk(session, 'workspace', 'src', 'more.txt')), false);
    assert.equal(readlinkSync(onDisk(session, 'workspace', 'out')), '/etc/passwd');
    assert.deepEqual((await client.snapshots.list(session)).data, [made]);
    // The agent goes on in the same workspace.
    const sent = await server.json('POST', `/v1/sessions/${session}/events?wait=20`, { body: { events: [message()] } });
    assert.equal(sent.body.turn.outcome, 'completed');
    await client.snapshots.remove(session, made.id);
    assert.deepEqual(readdirSync(onDisk('.snapshots', session)), []);
    await assert.rejects(client.snapshots.restore(session, made.id), { code: 'snapshot_not_found' });
  });

  it('are restored only while no turn is under way', async () => {
    const session = await server.createSession();
    const { id } = await client.snapshots.create(session);
    await client.files.write(session, 'kept', bytes('x'));
    await server.json('POST', `/v1/sessions/${session}/events`, { body: { events: [message('[[hang]]')] } });
    await waitFor(async () => ((await client.sessions.get(session)).status === 'running' ? true : undefined), {
      timeoutMs: 20_000,
      what: 'the turn to run',
    });
    await assert.rejects(client.snapshots.restore(session, id), { code: 'session_busy' });
    assert.ok(existsSync(onDisk(session, 'workspace', 'kept')));
  });

  it('are made once for one key, are bounded in number, and go with their session', async () => {
    const session = await server.createSession();
    const post = (key: string) => server.json('POST', `/v1/sessions/${session}/snapshots`, { headers: { 'idempotency-key': key } });
    const first = await post('one');
    assert.equal((await post('one')).body.id, first.body.id);
    for (let made = 1; made < 20; made++) await client.snapshots.create(session);
    await assert.rejects(client.snapshots.create(session), { code: 'snapshot_limit_reached' });
    await client.sessions.remove(session);
    for (const place of [onDisk(session), onDisk('.snapshots', session)]) assert.equal(existsSync(place), false);
  });

  it("of another tenant's session are as missing", async () => {
    const session = await server.createSession();
    const { id } = await client.snapshots.create(session);
    const all = `/v1/sessions/${session}/snapshots`;
    const routes: readonly (readonly [string, string])[] = [
      ['GET', all],
      ['POST', all],
      ['GET', `${all}/${id}`],
      ['DELETE', `${all}/${id}`],
      ['POST', `${all}/${id}/restore`],
    ];
    for (const [method, route] of routes) {
      const { status, body }: { status: number; body: Wire } = await server.json(method, route, { key: OTHER_KEY });
      assert.deepEqual([status, body.error.code], [404, 'session_not_found'], `${method} ${route}`);
    }
    for (const odd of ['snp_0', '..%2f..%2fhome', `${id}x`])
      assert.equal((await server.json('GET', `${all}/${odd}`)).body.error.code, 'snapshot_not_found', odd);
  });
});
