import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { type Client, createClient } from '@cloister/api';
import { freePort } from '../../../../test/support/free-port.ts';
import { newUnique } from '../../src/base/ids.ts';
import { docker, engineMissing } from '../support/engine.ts';
import { waitFor } from '../support/wait-for.ts';
import { converse, newSession, untilHealthy } from './conversation.ts';
import { buildDeployImages, type DeployImages, sandboxesOf } from './deploy-images.ts';
import { blockOf } from './page.ts';
import { tryServersBehindNginx } from './servers.ts';

const run = promisify(execFile);
const commandsWith = (needle: string) => blockOf('docs/deploy.md', '## With docker run', needle);

describe('containers from one set of images', { timeout: 900_000 }, () => {
  let missing: string | false = false;
  let images: DeployImages<'postgres' | 'nginx'>;

  before(async () => {
    missing = await engineMissing();
    if (missing === false) images = await buildDeployImages(['postgres', 'nginx']);
  });
  after(() => images?.[Symbol.asyncDispose]());

  it('docker run as the page says, with SQLite: answers, survives kill -9, stops and goes without a trace', async (t) => {
    if (missing !== false) return t.skip(missing);
    await using own = newServer(images);
    await tryServer(own, images);
  });

  it('docker run as the page says, with a PostgreSQL elsewhere', async (t) => {
    if (missing !== false) return t.skip(missing);
    await using database = await startDatabase(images.standIns.postgres);
    await using own = newServer(images);
    // The stand-in has no certificate.
    const setting = commandsWith('-e DATABASE_URL=').replace('?sslmode=verify-full', '').replace(/\\\n$/, '').trim();
    await tryServer(own, images, `--network ${database.network} ${setting}`);
    assert.match(await database.ask('SELECT count(*) FROM events'), /^[1-9]/);
  });

  it('two servers behind nginx as the page says: a stream and a session go on when one is killed', async (t) => {
    if (missing !== false) return t.skip(missing);
    await tryServersBehindNginx(images);
  });
});

interface OwnServer extends AsyncDisposable {
  readonly name: string;
  /** Runs commands of the page, under names of our own. */
  page(commands: string, more?: string): Promise<string>;
}

function newServer(images: DeployImages<string>): OwnServer {
  const name = `clo${newUnique().toLowerCase()}`;
  const port = freePort();
  return {
    name,
    async page(commands, more = '') {
      const renamed = commands
        .replaceAll('cloister:0.1.0', images.server)
        .replaceAll(/\bcloister-(data|broker)\b/g, `${name}-$1`)
        .replaceAll(/((?:--name|exec|stop|kill|start|rm) (?:\S+-broker )?)cloister\b(?![-:])/g, `$1${name}`)
        .replace('127.0.0.1:3000:', `127.0.0.1:${await port}:`)
        .replace('-e ANTHROPIC_API_KEY ', `-e ANTHROPIC_API_KEY -e CLOISTER_SANDBOX_IMAGE=${images.sandbox} -e WARM_POOL_MAX=0 ${more} `);
      const env = { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '/root' };
      return (await run('bash', ['-eo', 'pipefail', '-c', renamed], { env, timeout: 180_000 })).stdout;
    },
    async [Symbol.asyncDispose]() {
      // Nothing of it is there any more unless the test failed.
      const left = await docker('ps', '-aq', '--filter', `name=${name}`);
      if (left !== '') await docker('rm', '-fv', ...left.trim().split('\n'));
      const volumes = await docker('volume', 'ls', '-q', '--filter', `name=${name}`);
      if (volumes !== '') await docker('volume', 'rm', ...volumes.trim().split('\n'));
    },
  };
}

/** From the first command of the page to its last. */
async function tryServer(own: OwnServer, images: DeployImages<string>, more?: string): Promise<void> {
  const told = await own.page(commandsWith('docker run -d'), more);
  assert.match(told, /is healthy/);
  assert.match(told, /Linux/, 'the agent answered from its sandbox');
  const [key] = /^clo_k_\S+$/m.exec(told) ?? [];
  const [, port] = /:(\d+)\n/.exec(await docker('port', own.name, '3000')) ?? [];
  assert.ok(key !== undefined && port !== undefined, told);
  const client = createClient({ url: `http://127.0.0.1:${port}`, key });
  const session = await newSession(client);
  await converse(client, session, 'echo kept > kept.txt; cat kept.txt', /kept/);
  await killAndStart(own, client, session);
  await converse(client, session, 'cat kept.txt', /kept/);
  assert.notDeepEqual(await sandboxesOf(images.sandbox), []);
  await own.page(commandsWith('docker stop'));
  assert.deepEqual(await sandboxesOf(images.sandbox), [], 'no sandbox is left');
  await own.page(commandsWith('docker volume rm'));
  for (const kind of ['container', 'volume'])
    assert.equal(await docker(kind, 'ls', ...(kind === 'container' ? ['-a'] : []), '-q', '--filter', `name=${own.name}`), '', kind);
}

/** Kills server and broker while a message is under way: it was accepted, so it is there afterwards, and its turn comes to an end. */
async function killAndStart(own: OwnServer, client: Client, session: string): Promise<void> {
  await client.events.send(session, [{ type: 'user.message', content: 'run echo under way' }]);
  await docker('kill', '--signal', 'KILL', own.name, `${own.name}-broker`);
  await docker('start', `${own.name}-broker`, own.name);
  await untilHealthy(client);
  const ended = await waitFor(
    async () => {
      const { data } = await client.turns.ofSession(session);
      return data.length === 2 && data.every(({ outcome }) => outcome !== null) ? data : undefined;
    },
    { timeoutMs: 120_000, what: 'the turn that was under way to end' },
  );
  for (const { outcome } of ended) assert.match(outcome ?? '', /^(completed|interrupted)$/);
  assert.match(JSON.stringify((await client.events.list(session, { limit: 100 })).data), /run echo under way/);
}

interface Database extends AsyncDisposable {
  readonly network: string;
  ask(sql: string): Promise<string>;
}

/** A PostgreSQL that the page's `db.example` leads to. */
async function startDatabase(image: string): Promise<Database> {
  const name = `clo${newUnique().toLowerCase()}`;
  const [network, container] = [`${name}-net`, `${name}-postgres`];
  await docker('network', 'create', network);
  const env = ['POSTGRES_USER=cloister', 'POSTGRES_DB=cloister', 'POSTGRES_PASSWORD=secret'].flatMap((one) => ['-e', one]);
  const place = ['--network', network, '--network-alias', 'db.example', '--tmpfs', '/var/lib/postgresql/data'];
  await docker('run', '-d', '--name', container, ...place, ...env, image);
  const close = async () => {
    await docker('rm', '-fv', container);
    await docker('network', 'rm', network);
  };
  try {
    const login = ['exec', '-e', 'PGPASSWORD=secret', container, 'psql', '-h', '127.0.0.1', '-U', 'cloister', '-At', '-c'];
    await waitFor(() => docker(...login, 'SELECT 1').catch(() => undefined), { timeoutMs: 60_000, what: 'PostgreSQL' });
    return { network, ask: (sql) => docker(...login, sql), [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw new Error('PostgreSQL does not come up', { cause: error });
  }
}
