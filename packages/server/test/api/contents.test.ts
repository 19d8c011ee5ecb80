import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { toFile } from '@anthropic-ai/sdk';
import { formatHeader, paddingOf } from '../../src/workspaces/tar-format.ts';
import { OTHER_KEY, startTestServer, type TestServer, type Wire } from '../support/server.ts';

const SKILL = '---\nname: reports\ndescription: Writes weekly reports.\n---\n\nRead template.md first.\n';

/** A form as any client sends it, with its own boundary. */
async function upload(server: TestServer, route: string, form: FormData, headers: Record<string, string> = {}) {
  const response = await fetch(server.url + route, { method: 'POST', headers: { 'x-api-key': server.key, ...headers }, body: form });
  return { status: response.status, headers: response.headers, body: (await response.json()) as Wire };
}

function formOf(files: Readonly<Record<string, string | Buffer<ArrayBuffer>>>, field = 'files[]'): FormData {
  const form = new FormData();
  for (const [name, bytes] of Object.entries(files)) form.append(field, new Blob([bytes]), name);
  return form;
}

function tarOf(files: Readonly<Record<string, string>>): Buffer<ArrayBuffer> {
  const parts = Object.entries(files).flatMap(([name, text]) => {
    const bytes = Buffer.from(text);
    const header = {
      path: Buffer.from(name),
      kind: 'file',
      size: bytes.length,
      mode: 0o755,
      modifiedAt: 0,
      target: Buffer.alloc(0),
    } as const;
    return [formatHeader(header), bytes, Buffer.alloc(paddingOf(bytes.length))];
  });
  return Buffer.from(Buffer.concat([...parts, Buffer.alloc(1024)]));
}

describe('what clients give into keeping', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ env: { MAX_UPLOAD_BYTES: '1000000', MAX_SKILL_BYTES: '100000' } });
  });
  after(() => server?.[Symbol.asyncDispose]());

  it('keeps uploaded files, byte by byte, over a restart', async () => {
    const bytes = Buffer.from(Array.from({ length: 500_001 }, (_, index) => index % 251));
    // What looks like a boundary is none.
    bytes.write('\r\n--formdata-', 200_000);
    const file = await server.client.beta.files.upload({ file: await toFile(bytes, 'data set.bin', { type: 'application/x-data' }) });
    assert.deepEqual(
      [file.filename, file.mime_type, file.size_bytes, file.type],
      ['data set.bin', 'application/x-data', bytes.length, 'file'],
    );
    await server.restart();
    const again = await server.client.beta.files.download(file.id);
    assert.equal(again.headers.get('content-type'), 'application/x-data');
    assert.ok(Buffer.from(await again.arrayBuffer()).equals(bytes));
    const listed = [];
    for await (const one of server.client.beta.files.list({ limit: 1 })) listed.push(one.id);
    assert.deepEqual(listed, [file.id]);
    assert.equal((await server.json('GET', `/v1/files/${file.id}`, { key: OTHER_KEY })).body.error.code, 'stored_file_not_found');
    assert.equal((await server.json('GET', `/v1/files/${file.id}/content`, { key: OTHER_KEY })).body.error.code, 'stored_file_not_found');
    assert.equal((await server.client.beta.files.delete(file.id)).id, file.id);
    assert.equal((await server.json('GET', `/v1/files/${file.id}`)).status, 404);
  });

  it('refuses uploads that are none, too large or nameless, and repeats one under its key', async () => {
    const large = await upload(server, '/v1/files', formOf({ 'a.bin': Buffer.alloc(1_000_001) }, 'file'));
    assert.equal(large.body.error.code, 'file_too_large');
    assert.equal((await upload(server, '/v1/files', formOf({ a: 'x' }, 'other'))).body.error.code, 'upload_invalid');
    assert.equal((await server.json('POST', '/v1/files', { body: {} })).body.error.code, 'upload_invalid');
    const broken = {
      body: '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhal',
      headers: { 'content-type': 'multipart/form-data; boundary=b' },
    };
    assert.equal((await server.json('POST', '/v1/files', broken)).body.error.code, 'upload_invalid');
    const key = { 'idempotency-key': 'once' };
    const [one, two] = [
      await upload(server, '/v1/files', formOf({ a: 'x' }, 'file'), key),
      await upload(server, '/v1/files', formOf({ a: 'x' }, 'file'), key),
    ];
    assert.deepEqual([two.status, two.body, two.headers.get('idempotent-replayed')], [200, one.body, 'true']);
    const listed = (await server.json('GET', '/v1/files')).body.data;
    assert.equal(listed.length, 1, 'nothing is left of what was refused');
  });

  it('takes a skill as a folder, a tar or a tar.gz, and keeps its versions', async () => {
    const files = [await toFile(Buffer.from(SKILL), 'reports/SKILL.md'), await toFile(Buffer.from('# Report'), 'reports/template.md')];
    const skill = await server.client.beta.skills.create({ files, display_name: 'Weekly reports' });
    assert.deepEqual([skill.display_name, skill.source.type], ['Weekly reports', 'custom']);
    const first = await server.client.beta.skills.versions.retrieve(skill.latest_version_id, { skill_id: skill.id });
    assert.deepEqual([first.name, first.description], ['reports', 'Writes weekly reports.']);
    for (const archive of [tarOf({ 'SKILL.md': SKILL }), gzipSync(tarOf({ './reports/SKILL.md': SKILL, './reports/run.sh': 'true' }))]) {
      const added = await upload(server, `/v1/skills/${skill.id}/versions`, formOf({ 'reports.tgz': Buffer.from(archive) }));
      assert.equal(added.status, 200, JSON.stringify(added.body));
    }
    const versions = (await server.json('GET', `/v1/skills/${skill.id}/versions`)).body.data;
    assert.equal(versions.length, 3);
    assert.equal((await server.json('GET', `/v1/skills/${skill.id}`)).body.latest_version_id, versions[0].id);
    const content = await server.request('GET', `/v1/skills/${skill.id}/versions/latest/content`);
    assert.equal(content.headers.get('content-type'), 'application/gzip');
    assert.ok((await content.arrayBuffer()).byteLength > 50);
    assert.equal((await server.json('DELETE', `/v1/skills/${skill.id}/versions/${versions[0].id}`)).status, 200);
    assert.equal((await server.json('GET', `/v1/skills/${skill.id}`)).body.latest_version_id, versions[1].id);
    assert.equal((await server.json('GET', `/v1/skills/${skill.id}`, { key: OTHER_KEY })).status, 404);
    assert.equal((await server.json('DELETE', `/v1/skills/${skill.id}`)).body.type, 'skill_deleted');
  });

  it('refuses what is no skill', async () => {
    const refused = async (files: Parameters<typeof formOf>[0]) => (await upload(server, '/v1/skills', formOf(files))).body.error?.code;
    assert.equal(await refused({ 'a/README.md': 'x' }), 'skill_invalid');
    assert.equal(await refused({ 'SKILL.md': 'no frontmatter' }), 'skill_invalid');
    assert.equal(await refused({ 'SKILL.md': '---\nname: Bad Name\ndescription: x\n---\n' }), 'skill_invalid');
    assert.equal(await refused({ 'SKILL.md': '---\nname: a\n---\n' }), 'skill_invalid');
    assert.equal(await refused({ 'SKILL.md': '---\na: &a [x]\nb: *a\nname: a\ndescription: b\n---\n' }), 'skill_invalid');
    assert.equal(await refused({ 'SKILL.md': SKILL, '../up.md': 'x' }), 'skill_invalid');
    assert.equal(await refused({ 'a.tar': tarOf({ 'SKILL.md': SKILL, '/etc/passwd': 'x' }) }), 'skill_invalid');
    assert.equal(await refused({ 'a.tar.gz': gzipSync(Buffer.alloc(50_000_000)) }), 'archive_too_large');
    assert.equal(await refused({ 'a.zip': Buffer.from('PK no zip at all, but long enough to look for its end') }), 'archive_invalid');
    assert.equal(await refused({ 'SKILL.md': SKILL, big: Buffer.alloc(100_001) }), 'archive_too_large');
    assert.equal((await upload(server, '/v1/skills', new FormData())).body.error.code, 'upload_invalid');
  });

  it('keeps memories by their paths, with a history that can be redacted', async () => {
    const { client } = server;
    const store = await client.beta.memoryStores.create({ name: 'Preferences', description: 'What people like' });
    const scope = { memory_store_id: store.id };
    const made = await client.beta.memoryStores.memories.create(store.id, { path: '/food/sweet.md', content: 'Cake.' });
    await client.beta.memoryStores.memories.create(store.id, { path: '/food/sour.md', content: 'Lemon.' });
    await client.beta.memoryStores.memories.create(store.id, { path: '/top.md', content: null });
    const precondition = { type: 'content_sha256', content_sha256: made.content_sha256 } as const;
    const changed = await client.beta.memoryStores.memories.update(made.id, { ...scope, content: 'Pie.', precondition });
    assert.equal(changed.content, 'Pie.');
    await assert.rejects(client.beta.memoryStores.memories.update(made.id, { ...scope, content: 'x', precondition }), { status: 409 });
    const rolled = await server.json('GET', `/v1/memory_stores/${store.id}/memories?depth=1`);
    assert.deepEqual(
      rolled.body.data.map((one: Wire) => [one.type, one.path]),
      [
        ['memory_prefix', '/food/'],
        ['memory', '/top.md'],
      ],
    );
    const paths = [];
    for await (const one of client.beta.memoryStores.memories.list(store.id, { path_prefix: '/food/', limit: 1, view: 'full' }))
      paths.push(one.type === 'memory' ? [one.path, one.content] : one.path);
    assert.deepEqual(paths, [
      ['/food/sour.md', 'Lemon.'],
      ['/food/sweet.md', 'Pie.'],
    ]);
    const { data: versions } = await client.beta.memoryStores.memoryVersions.list(store.id, { memory_id: made.id, view: 'full' });
    assert.deepEqual(
      versions.map(({ operation, content, created_by }) => [operation, content, created_by?.type]),
      [
        ['modified', 'Pie.', 'api_actor'],
        ['created', 'Cake.', 'api_actor'],
      ],
    );
    const redacted = await client.beta.memoryStores.memoryVersions.redact(versions[1]?.id ?? '', scope);
    assert.deepEqual([redacted.content, redacted.path, redacted.redacted_by?.type], [null, null, 'api_actor']);
    assert.equal(
      (await server.json('POST', `/v1/memory_stores/${store.id}/memory_versions/${versions[0]?.id}/redact`)).body.error.code,
      'memory_version_current',
    );
    const bad = (path: string) => server.json('POST', `/v1/memory_stores/${store.id}/memories`, { body: { path, content: 'x' } });
    for (const path of ['top', '/a//b', '/a/../b', '/', '/food', '/a\u202eb'])
      assert.ok([400, 409].includes((await bad(path)).status), path);
    const foreign = await server.json('GET', `/v1/memory_stores/${store.id}/memories`, { key: OTHER_KEY });
    assert.equal(foreign.body.error.code, 'memory_store_not_found');
    await client.beta.memoryStores.archive(store.id);
    assert.equal((await bad('/late')).body.error.code, 'memory_store_archived');
    assert.equal((await client.beta.memoryStores.delete(store.id)).type, 'memory_store_deleted');
  });

  it('gives sessions files and memory, and tells of them', async () => {
    const { client } = server;
    const file = await client.beta.files.upload({ file: await toFile(Buffer.from('a,b'), 'data.csv') });
    const store = await client.beta.memoryStores.create({ name: 'My Notes!' });
    const [environment] = (await server.json('GET', '/v1/environments')).body.data;
    const [agent] = (await server.json('GET', '/v1/agents')).body.data;
    const create = (resources: object[]) =>
      server.json('POST', '/v1/sessions', { body: { agent: agent.id, environment_id: environment.id, resources } });
    const made = await create([
      { type: 'file', file_id: file.id, mount_path: '/workspace/in/data.csv' },
      { type: 'memory_store', memory_store_id: store.id, access: 'read_only', instructions: 'Look first.' },
    ]);
    assert.equal(made.status, 200, JSON.stringify(made.body));
    assert.deepEqual(
      made.body.resources.map((one: Wire) => [one.type, one.mount_path, one.access]),
      [
        ['file', '/workspace/in/data.csv', undefined],
        ['memory_store', '/mnt/memory/my-notes', 'read_only'],
      ],
    );
    const added = await client.beta.sessions.resources.add(made.body.id, { type: 'file', file_id: file.id });
    assert.equal(added.mount_path, `/mnt/session/uploads/${file.id}`);
    assert.equal((await server.json('GET', `/v1/sessions/${made.body.id}`)).body.resources.length, 3);
    assert.equal((await client.beta.sessions.resources.delete(added.id, { session_id: made.body.id })).id, added.id);
    assert.equal((await server.json('GET', `/v1/sessions/${made.body.id}/resources`)).body.data.length, 2);
    const codes: string[] = [];
    for (const resources of [
      [{ type: 'file', file_id: 'file_gone' }],
      [{ type: 'memory_store', memory_store_id: 'memstore_gone' }],
      [{ type: 'file', file_id: file.id, mount_path: '/etc/passwd' }],
      [{ type: 'file', file_id: file.id, mount_path: '/workspace/../x' }],
      [
        { type: 'file', file_id: file.id },
        { type: 'file', file_id: file.id },
      ],
      [{ type: 'github_repository', url: 'https://github.com/a/b' }],
    ])
      codes.push((await create(resources)).body.error.code);
    assert.deepEqual(codes, [
      'stored_file_not_found',
      'memory_store_not_found',
      'request_invalid',
      'path_invalid',
      'request_invalid',
      'capability_unsupported',
    ]);
  });
});
