import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { freePort } from '../../../../test/support/free-port.ts';
import { containersOf, docker, engineMissing } from '../support/engine.ts';
import { waitFor } from '../support/wait-for.ts';
import { followOverTls, type Installation, newInstallation } from './installation.ts';

const run = promisify(execFile);
const STAND_INS = path.join(import.meta.dirname, 'stand-ins');
const tag = `deploy-${process.pid}`;
const images = { CLOISTER_IMAGE: `cloister:${tag}`, CLOISTER_SANDBOX_IMAGE: `cloister-sandbox:${tag}` };
const standIn = (name: string) => `cloister-stand-in-${name}:${tag}`;

/** One message through a real sandbox, whose answer has to hold `expected`. */
async function converse(installation: Installation, sessionId: string, command: string, expected: RegExp): Promise<void> {
  const client = await installation.client();
  const { turn, events } = await client.events.send(sessionId, [{ type: 'user.message', content: `run ${command}` }], { wait: 60 });
  assert.equal(turn?.outcome, 'completed', JSON.stringify({ turn, events }));
  assert.match(JSON.stringify(events), expected);
}

async function newSession(installation: Installation): Promise<string> {
  const client = await installation.client();
  const [agent, environment] = [(await client.agents.list()).data[0], (await client.environments.list()).data[0]];
  return (await client.sessions.create({ agent: agent?.id ?? '', environment_id: environment?.id ?? '' })).id;
}

/** Kills server and broker as a power cut does, and starts what is there again. */
async function crashAndRestart(installation: Installation): Promise<void> {
  await installation.compose('kill', '-s', 'SIGKILL', 'cloister', 'broker');
  assert.match(await installation.script(), /Cloister runs at/);
  // Connections of the former life may look open from here; the first use of each finds out.
  const client = await installation.client();
  await waitFor(() => client.health().catch(() => undefined), { timeoutMs: 30_000, what: 'a fresh connection' });
}

/** Everything of the installation is gone from the engine, sandboxes and what belongs to them too. */
async function tearDown(installation: Installation): Promise<void> {
  const broker = (await containersOf(`com.docker.compose.project=${installation.project}`)).at(-1) ?? '';
  assert.notEqual(broker, '');
  const READ = "fs.readFileSync('/run/cloister/installation', 'utf8')";
  const id = (await installation.compose('exec', '-T', 'broker', 'node', '-p', READ)).trim();
  assert.match(id, /^ins_/);
  await installation.script('--down');
  assert.deepEqual(await containersOf(`com.docker.compose.project=${installation.project}`), []);
  assert.deepEqual(await containersOf(`cloister.installation=${id}`), [], 'no sandbox is left');
}

describe('docker-start.sh and the compose files', { timeout: 1_200_000 }, () => {
  let missing: string | false = false;

  before(async () => {
    missing = await engineMissing();
    if (missing !== false) return;
    for (const name of ['postgres', 'caddy', 'nginx'])
      await run('docker', ['build', '--quiet', '--tag', standIn(name), '--target', name, STAND_INS], { timeout: 400_000 });
  });
  after(async () => {
    if (missing !== false) return;
    await docker('rmi', images.CLOISTER_IMAGE, images.CLOISTER_SANDBOX_IMAGE, ...['postgres', 'caddy', 'nginx'].map(standIn)).catch(
      () => undefined,
    );
  });

  it('starts from nothing with SQLite: builds, makes keys, answers; survives a crash; TLS by Caddy with streams resumed', async (t) => {
    if (missing !== false) return t.skip(missing);
    const [http, tls] = [await freePort(), await freePort()];
    await using own = await newInstallation({
      ...images,
      CADDY_IMAGE: standIn('caddy'),
      COMPOSE_PROFILES: 'caddy',
      HTTP_PORT: String(http),
      HTTPS_PORT: String(tls),
    });
    const told = await own.script();
    assert.match(told, /Building cloister:deploy-\d+; the first time takes/);
    assert.match(told, /No provider has a key in \.env: the demo model answers/);
    assert.match(told, /Cloister runs at http:\/\/127\.0\.0\.1:\d+\/dashboard/);
    assert.match(await own.setting('CLOISTER_ADMIN_KEY'), /^clst_[0-9a-f]{48}$/);
    assert.equal((await stat(path.join(own.directory, '.env'))).mode & 0o777, 0o600);
    const session = await newSession(own);
    await converse(own, session, 'echo kept > kept.txt; cat kept.txt', /kept/);
    assert.match(await own.script('--status'), /is healthy/);
    await followThroughProxy(own, session, tls);
    await crashAndRestart(own);
    await converse(own, session, 'cat kept.txt', /kept/);
    await own.script('--stop');
    assert.match(await own.script(), /Cloister runs at/);
    await converse(own, session, 'cat kept.txt', /kept/);
    await tearDown(own);
  });

  it('--bind-mounts: data in a directory of the host, under the host’s user', async (t) => {
    if (missing !== false) return t.skip(missing);
    await using own = await newInstallation({ ...images, CLOISTER_UID: '1234', CLOISTER_GID: '1234' });
    await own.script('--bind-mounts');
    const data = path.join(own.directory, 'cloister-data');
    assert.equal(await own.setting('CLOISTER_DATA'), data);
    const { uid, gid, mode } = await stat(data);
    assert.deepEqual([uid, gid, mode & 0o777], [1234, 1234, 0o700]);
    assert.equal((await stat(path.join(data, 'cloister.db'))).uid, 1234);
    const session = await newSession(own);
    await converse(own, session, 'echo bound > bound.txt; cat bound.txt', /bound/);
    await crashAndRestart(own);
    await converse(own, session, 'cat bound.txt', /bound/);
    await tearDown(own);
  });

  it('--postgres: healthy before the server starts; TLS by nginx with streams resumed', async (t) => {
    if (missing !== false) return t.skip(missing);
    const [http, tls] = [await freePort(), await freePort()];
    await using own = await newInstallation({
      ...images,
      POSTGRES_IMAGE: standIn('postgres'),
      NGINX_IMAGE: standIn('nginx'),
      COMPOSE_PROFILES: 'nginx',
      HTTP_PORT: String(http),
      HTTPS_PORT: String(tls),
    });
    const certificates = path.join(own.directory, 'deploy', 'tls');
    await mkdir(certificates);
    const [key, certificate] = [path.join(certificates, 'tls.key'), path.join(certificates, 'tls.crt')];
    const subject = ['-subj', '/CN=localhost', '-days', '1'];
    await run('openssl', [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      key,
      '-out',
      certificate,
      ...subject,
    ]);
    await own.script('--postgres');
    assert.match(await own.setting('POSTGRES_PASSWORD'), /^[0-9a-f]{48}$/);
    const session = await newSession(own);
    await converse(own, session, 'echo rows > rows.txt; cat rows.txt', /rows/);
    assert.match(await own.compose('exec', '-T', 'cloister', 'cloister', 'db', 'status', '--json'), /"postgres"/);
    await followThroughProxy(own, session, tls);
    await crashAndRestart(own);
    await converse(own, session, 'cat rows.txt', /rows/);
    await tearDown(own);
  });

  it('--memory: works, and keeps nothing', async (t) => {
    if (missing !== false) return t.skip(missing);
    await using own = await newInstallation(images);
    await own.script('--memory');
    await converse(own, await newSession(own), 'echo forgotten', /forgotten/);
    await crashAndRestart(own);
    assert.deepEqual((await (await own.client()).sessions.list()).data, []);
    await converse(own, await newSession(own), 'echo remembered > kept.txt; cat kept.txt', /remembered/);
    // Another mode is another database. The broker, which serves one installation, takes the new one.
    assert.match(await own.script('--bind-mounts'), /Leaving the mode memory/);
    const kept = await newSession(own);
    await converse(own, kept, 'echo again', /again/);
    await tearDown(own);
  });

  it('says what is wrong and what to do, and leaves .env as it was', async (t) => {
    if (missing !== false) return t.skip(missing);
    await using own = await newInstallation({ ...images, CLOISTER_PORT: 'many' });
    const refused = async (...args: string[]) =>
      own.script(...args).then(
        () => assert.fail('it went through'),
        (error: { stderr: string }) => error.stderr,
      );
    assert.match(await refused(), /CLOISTER_PORT=many in \.env is no port\.\nFix: Give a number/);
    assert.match(await refused('--postgres', '--memory'), /exclude each other/);
    assert.match(await refused('--nonsense'), /there is no option --nonsense/);
    assert.match(await own.script('--help'), /--bind-mounts/);
    assert.equal(await own.setting('CLOISTER_PORT'), 'many');
  });
});

/** Follows a session over TLS, hangs up, and takes the stream up where it was. */
async function followThroughProxy(installation: Installation, session: string, port: number): Promise<void> {
  const url = `https://127.0.0.1:${port}/v1/sessions/${session}/events/stream`;
  const headers = { 'x-api-key': await installation.setting('CLOISTER_ADMIN_KEY'), host: 'localhost' };
  await waitFor(() => followOverTls(`https://127.0.0.1:${port}/health`, headers, () => true).catch(() => undefined), {
    timeoutMs: 90_000,
    what: 'the proxy to answer',
  });
  const whole = followOverTls(url, { ...headers, 'last-event-id': '0' }, (text) => text.includes('turn.ended'));
  const { lastId } = await whole;
  assert.notEqual(lastId, '');
  const rest = followOverTls(url, { ...headers, 'last-event-id': lastId }, (text) => text.includes('turn.ended'));
  await converse(installation, session, 'echo through the proxy', /through the proxy/);
  const { text } = await rest;
  const ids = [...text.matchAll(/^id: ?(\d+)$/gm)].map(([, id]) => Number(id));
  assert.deepEqual(
    ids,
    ids.toSorted((one, other) => one - other),
  );
  assert.ok((ids[0] ?? 0) > Number(lastId), 'nothing twice');
  assert.match(text, /through the proxy/);
}
