import assert from 'node:assert/strict';
import { symlink, unlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { toFile } from '@anthropic-ai/sdk';
import { startTestServer, type TestServer, type Wire } from '../support/server.ts';

describe('what sandboxes get', { skip: process.platform === 'linux' ? false : 'files of workspaces are reached on Linux only' }, () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server?.[Symbol.asyncDispose]());

  async function newSession(more: { readonly resources?: object[]; readonly agent?: object } = {}): Promise<Wire> {
    const [environment] = (await server.json('GET', '/v1/environments')).body.data;
    const agent = (await server.json('POST', '/v1/agents', { body: { name: 'Ada', model: 'demo', harness: 'fake', ...more.agent } })).body;
    const body = { agent: agent.id, environment_id: environment.id, resources: more.resources ?? [] };
    const made = await server.json('POST', '/v1/sessions', { body });
    assert.equal(made.status, 200, JSON.stringify(made.body));
    return made.body;
  }

  async function ask(session: string, ...content: object[]): Promise<string> {
    const body = { events: [{ type: 'user.message', content }] };
    const sent = await server.json('POST', `/v1/sessions/${session}/events?wait=60`, { body });
    assert.equal(sent.body.turn?.outcome, 'completed', JSON.stringify(sent.body));
    return sent.body.events
      .filter(({ type }: Wire) => type === 'agent.message')
      .map((event: Wire) => event.content[0].text)
      .join('');
  }
  const say = (text: string) => ({ type: 'text', text });

  it('memory is there, and what agents write in it is kept with its author, from session to session', async () => {
    const { memoryStores } = server.client.beta;
    const store = await memoryStores.create({ name: 'Notes' });
    const first = await memoryStores.memories.create(store.id, { path: '/people/ada.md', content: 'likes tea' });
    const resources = [{ type: 'memory_store', memory_store_id: store.id }];
    const [one, two] = [await newSession({ resources }), await newSession({ resources })];
    assert.match(await ask(one.id, say('[[look /mnt/memory/notes/people/ada.md]]')), /likes tea/);
    await ask(one.id, say('[[write /mnt/memory/notes/people/bob.md likes coffee]]'));
    assert.match(await ask(two.id, say('[[look /mnt/memory/notes/people/bob.md]]')), /likes coffee/);
    await ask(two.id, say('[[write /mnt/memory/notes/people/ada.md likes mate]]'));
    assert.match(await ask(one.id, say('[[look /mnt/memory/notes/people/ada.md]]')), /likes mate/);
    await ask(one.id, say('[[remove /mnt/memory/notes/people/bob.md]]'));
    assert.match(await ask(two.id, say('[[look /mnt/memory/notes/people/bob.md]]')), /nothing there/);
    await memoryStores.memories.delete(first.id, { memory_store_id: store.id });
    assert.match(await ask(one.id, say('[[look /mnt/memory/notes/people/ada.md]]')), /nothing there/);
    const { data } = await memoryStores.memoryVersions.list(store.id);
    assert.deepEqual(
      data.map(({ operation, created_by }) => [operation, created_by?.type === 'session_actor' ? created_by.session_id : created_by?.type]),
      [
        ['deleted', 'api_actor'],
        ['deleted', one.id],
        ['modified', two.id],
        ['created', one.id],
        ['created', 'api_actor'],
      ],
    );
  });

  it('memory that may only be read takes nothing back, and links in it lead nowhere', async () => {
    const { memoryStores } = server.client.beta;
    const store = await memoryStores.create({ name: 'Facts' });
    const fact = await memoryStores.memories.create(store.id, { path: '/a.md', content: 'true' });
    const reader = await newSession({ resources: [{ type: 'memory_store', memory_store_id: store.id, access: 'read_only' }] });
    await ask(reader.id, say('[[write /mnt/memory/facts/b.md false]]'));
    const writer = await newSession({ resources: [{ type: 'memory_store', memory_store_id: store.id }] });
    await ask(writer.id, say('hello'));
    const mounted = path.join(server.dataDir, 'sessions', '.memory', writer.id, store.id, 'files');
    const secret = path.join(server.dataDir, 'secret');
    await writeFile(secret, 'a secret of the host');
    await symlink(secret, path.join(mounted, 'leak.md'));
    await unlink(path.join(mounted, 'a.md'));
    await symlink(secret, path.join(mounted, 'a.md'));
    await writeFile(path.join(mounted, 'large.md'), 'x'.repeat(102_401));
    await writeFile(path.join(mounted, 'binary'), Buffer.from([0xff, 0xfe, 0]));
    await ask(writer.id, say('[[write /mnt/memory/facts/c.md kept]]'));
    const listed = (await server.json('GET', `/v1/memory_stores/${store.id}/memories?view=full`)).body.data;
    assert.deepEqual(
      listed.map((one: Wire) => [one.path, one.content]),
      [
        ['/a.md', 'true'],
        ['/c.md', 'kept'],
      ],
    );
    assert.equal(listed[0].id, fact.id);
  });

  it('files of a session are where they were asked for, and come and go with its resources', async () => {
    const { client } = server;
    const file = await client.beta.files.upload({ file: await toFile(Buffer.from('one,two'), 'data.csv') });
    const session = await newSession({
      resources: [
        { type: 'file', file_id: file.id, mount_path: '/workspace/in/data.csv' },
        { type: 'file', file_id: file.id },
      ],
    });
    assert.match(await ask(session.id, say('[[look in/data.csv]]')), /one,two/);
    assert.match(await ask(session.id, say(`[[look /mnt/session/uploads/${file.id}]]`)), /one,two/);
    const added = await client.beta.sessions.resources.add(session.id, {
      type: 'file',
      file_id: file.id,
      mount_path: '/mnt/session/uploads/deep/again.csv',
    });
    assert.match(await ask(session.id, say('[[look /mnt/session/uploads/deep/again.csv]]')), /one,two/);
    await client.beta.sessions.resources.delete(added.id, { session_id: session.id });
    assert.match(await ask(session.id, say('[[look /mnt/session/uploads/deep/again.csv]]')), /nothing there/);
  });

  it('an agent that takes no documents finds them in its workspace, byte by byte', async () => {
    const { client } = server;
    const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, index) => index % 256));
    const file = await client.beta.files.upload({ file: await toFile(bytes, 'Q3 report.pdf', { type: 'application/pdf' }) });
    const session = await newSession();
    const answer = await ask(
      session.id,
      { type: 'image', source: { type: 'base64', media_type: 'image/png', data: bytes.subarray(0, 99).toString('base64') } },
      { type: 'document', source: { type: 'file', file_id: file.id }, context: 'The report' },
    );
    const named = /attachments\/\S+Q3_report\.pdf/.exec(answer)?.[0] ?? assert.fail(answer);
    const content = await server.request('GET', `/v1/sessions/${session.id}/files/content?path=${encodeURIComponent(named)}`);
    assert.ok(Buffer.from(await content.arrayBuffer()).equals(bytes));
    const listed = (await server.json('GET', `/v1/sessions/${session.id}/files?path=attachments`)).body.data;
    assert.deepEqual(
      listed.map((one: Wire) => one.size_bytes).toSorted((a: number, b: number) => a - b),
      [99, 70_000],
    );
    const [event] = (await server.json('GET', `/v1/sessions/${session.id}/events?types[]=user.message`)).body.data;
    assert.equal(event.content[1].source.file_id, file.id, 'the log has the id, not the bytes');
  });

  it('skills are in the sandbox at the version that they had when the session was made', async () => {
    const skill = async (text: string) => [
      await toFile(Buffer.from(`---\nname: reports\ndescription: d\n---\n${text}`), 'reports/SKILL.md'),
    ];
    const { skills } = server.client.beta;
    const made = await skills.create({ files: await skill('first') });
    const agent = { skills: [{ type: 'custom', skill_id: made.id }] };
    const early = await newSession({ agent });
    assert.equal(early.agent.skills[0].version, made.latest_version_id);
    await skills.versions.create(made.id, { files: await skill('second') });
    assert.match(await ask(early.id, say('[[look /mnt/skills/skills/reports/SKILL.md]]')), /first/);
    const late = await newSession({ agent });
    assert.match(await ask(late.id, say('[[look /mnt/skills/skills/reports/SKILL.md]]')), /second/);
    await server.restart();
    assert.match(await ask(early.id, say('[[look /mnt/skills/skills/reports/SKILL.md]]')), /first/);
  });
});
