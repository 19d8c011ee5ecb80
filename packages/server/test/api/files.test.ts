import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { createClient } from '@cloister/api';
import { OTHER_KEY, startTestServer, type TestServer, type Wire } from '../support/server.ts';

const OCTETS = { 'content-type': 'application/octet-stream' };

describe('files of a workspace', { skip: process.platform === 'linux' ? false : 'files of workspaces are reached on Linux only' }, () => {
  let server: TestServer;
  let session: string;
  const files = () => `/v1/sessions/${session}/files`;
  const put = (name: string, body: string, query = '') =>
    server.json('PUT', `${files()}/content?path=${encodeURIComponent(name)}${query}`, { body, headers: OCTETS });
  const get = (name: string, headers: Record<string, string> = {}) =>
    server.request('GET', `${files()}/content?path=${encodeURIComponent(name)}`, { headers });
  const onDisk = (...parts: string[]) => path.join(server.dataDir, 'sessions', session, 'workspace', ...parts);

  before(async () => {
    server = await startTestServer({ env: { MAX_FILE_BYTES: '4096', MAX_ARCHIVE_BYTES: '65536' } });
    session = await server.createSession();
  });
  after(() => server?.[Symbol.asyncDispose]());

  it('are written, listed, read by range, moved and deleted', async () => {
    const wrote = await put('src/grüße.txt', 'hello world');
    assert.deepEqual([wrote.status, wrote.body.path, wrote.body.size_bytes, wrote.body.kind], [200, 'src/grüße.txt', 11, 'file']);
    assert.equal(readFileSync(onDisk('src', 'grüße.txt'), 'utf8'), 'hello world');
    const whole = await get('src/grüße.txt');
    assert.deepEqual(
      [whole.status, whole.headers.get('content-length'), whole.headers.get('content-type'), await whole.text()],
      [200, '11', 'application/octet-stream', 'hello world'],
    );
    assert.match(whole.headers.get('content-disposition') ?? '', /^attachment; filename\*=UTF-8''gr%C3%BC/);
    assert.match(whole.headers.get('content-security-policy') ?? '', /sandbox/);
    const part = await get('src/grüße.txt', { range: 'bytes=6-' });
    assert.deepEqual([part.status, part.headers.get('content-range'), await part.text()], [206, 'bytes 6-10/11', 'world']);
    assert.equal(await (await get('src/grüße.txt', { range: 'bytes=-3' })).text(), 'rld');
    assert.equal((await get('src/grüße.txt', { range: 'bytes=11-' })).status, 416);
    const head = await server.request('HEAD', `${files()}/content?path=src/gr%C3%BC%C3%9Fe.txt`);
    assert.deepEqual([head.status, head.headers.get('content-length'), await head.text()], [200, '11', '']);

    assert.equal((await put('src/grüße.txt', 'x', '&overwrite=false')).body.error.code, 'file_conflict');
    assert.equal((await server.json('POST', `${files()}/directories`, { body: { path: 'lib/deep' } })).body.kind, 'directory');
    const moved = await server.json('POST', `${files()}/move`, { body: { from: 'src/grüße.txt', to: 'lib/deep/a' } });
    assert.equal(moved.body.path, 'lib/deep/a');
    for (const name of ['b', 'c', 'd']) await put(`lib/deep/${name}`, name);
    const first = (await server.json('GET', `${files()}?path=lib/deep&limit=3`)).body;
    const second = (await server.json('GET', `${files()}?path=lib/deep&limit=3&page=${first.next_page}`)).body;
    assert.deepEqual(
      [...first.data, ...second.data].map((one: Wire) => one.path),
      ['lib/deep/a', 'lib/deep/b', 'lib/deep/c', 'lib/deep/d'],
    );
    assert.equal(second.next_page, null);
    assert.equal((await server.json('DELETE', `${files()}?path=lib`)).body.error.code, 'file_conflict');
    assert.equal((await server.json('DELETE', `${files()}?path=lib&recursive=true`)).body.type, 'workspace_file_deleted');
    assert.equal(existsSync(onDisk('lib')), false);
  });

  it('are bounded, and a refused one leaves nothing', async () => {
    const { status, body } = await put('big', 'x'.repeat(5000));
    assert.deepEqual([status, body.error.code], [413, 'file_too_large']);
    assert.equal(existsSync(onDisk('big')), false);
  });

  it('are reached through no link', async () => {
    mkdirSync(onDisk(), { recursive: true });
    writeFileSync(path.join(server.dataDir, 'host-secret'), 'CANARY');
    symlinkSync(server.dataDir, onDisk('up'));
    symlinkSync('../../../host-secret', onDisk('leak'));
    assert.equal((await get('leak')).status, 422);
    assert.equal((await get('up/host-secret')).status, 404);
    assert.equal((await put('up/planted', 'x')).body.error.code, 'file_conflict');
    assert.equal((await server.json('GET', `${files()}?path=up`)).body.error.code, 'file_not_found');
    const listed = (await server.json('GET', files())).body.data.find((one: Wire) => one.name === 'leak');
    assert.deepEqual([listed.kind, listed.target], ['link', '../../../host-secret']);
    const archive = Buffer.from(await (await server.request('GET', `${files()}/archive`)).arrayBuffer());
    assert.ok(!archive.includes('CANARY'));
    assert.equal((await put('leak', 'mine')).status, 200);
    assert.equal(readFileSync(path.join(server.dataDir, 'host-secret'), 'utf8'), 'CANARY');
    assert.equal(existsSync(path.join(server.dataDir, 'planted')), false);
    await server.json('DELETE', `${files()}?path=up&recursive=true`);
  });

  it('go out as an archive and into another session, all or nothing', async () => {
    const client = createClient({ url: server.url, key: server.key });
    await put('keep/one.txt', 'one');
    await put('keep/two.txt', 'two');
    const archive = await (await client.files.download(session, 'keep')).blob();
    const other = await server.createSession();
    const done = await client.files.upload(other, archive, 'restored');
    assert.deepEqual([done.files, done.size_bytes], [2, 6]);
    assert.equal(await (await client.files.read(other, 'restored/two.txt')).text(), 'two');
    await client.files.write(other, 'restored/own', new Uint8Array([1]));
    await client.files.write(other, 'restored/two.txt', new Uint8Array([2]));
    await client.files.upload(other, archive, 'restored');
    const names = (await client.files.list(other, { path: 'restored' })).data.map(({ name }) => name);
    assert.deepEqual(names, ['one.txt', 'own', 'two.txt']);
    assert.equal(await (await client.files.read(other, 'restored/two.txt')).text(), 'two');
    // A file meets a directory: nothing of the archive may have been put in.
    await client.files.remove(other, 'restored/one.txt');
    await client.files.remove(other, 'restored/two.txt');
    await client.files.makeDirectory(other, 'restored/two.txt');
    await assert.rejects(client.files.upload(other, archive, 'restored'), { code: 'file_conflict' });
    assert.deepEqual(
      (await client.files.list(other, { path: 'restored' })).data.map(({ name }) => name),
      ['own', 'two.txt'],
    );
    await assert.rejects(client.files.upload(other, new Blob([gzipSync(Buffer.alloc(100_000))])), { code: /^archive_/ });
    assert.deepEqual(readdirSync(path.join(server.dataDir, 'sessions', other, 'staging')), []);
  });

  it("are another tenant's like missing ones", async () => {
    const key = OTHER_KEY;
    const routes: readonly (readonly [string, string, object?])[] = [
      ['GET', ''],
      ['GET', '/content?path=keep/one.txt'],
      ['PUT', '/content?path=planted', { body: 'x', headers: OCTETS }],
      ['DELETE', '?path=keep&recursive=true'],
      ['POST', '/directories', { body: { path: 'planted' } }],
      ['POST', '/move', { body: { from: 'keep', to: 'planted' } }],
      ['GET', '/archive'],
      ['PUT', '/archive', { body: 'x', headers: OCTETS }],
    ];
    for (const [method, rest, init] of routes) {
      const { status, body } = await server.json(method, files() + rest, { key, ...init });
      assert.deepEqual([status, body.error.code], [404, 'session_not_found'], `${method} ${rest}`);
    }
    assert.deepEqual([existsSync(onDisk('planted')), existsSync(onDisk('keep', 'one.txt'))], [false, true]);
  });

  it('of an archived session can be read and no more written', async () => {
    const closed = await server.createSession();
    const client = createClient({ url: server.url, key: server.key });
    await client.files.write(closed, 'a', new Uint8Array([1]));
    await client.sessions.archive(closed);
    assert.equal((await client.files.read(closed, 'a')).status, 200);
    await assert.rejects(client.files.write(closed, 'b', new Uint8Array([1])), { code: 'session_archived' });
  });
});
