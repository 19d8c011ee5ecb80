import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, open, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Client, createClient } from '@cloister/api';
import { type PostgresStores, skipWithoutPostgres, startPostgresStores } from '../support/postgres-stores.ts';
import { type CliResult, runCli } from '../support/run-cli.ts';
import { ADMIN_KEY, type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

const skip = process.platform === 'linux' ? false : 'files of workspaces are reached on Linux only';
const LIMIT_MS = 240_000;
/** So that what waits is answered in a while on a slow machine. */
const MOST_MESSAGES = 60;
const ENV = { CLOISTER_RUNTIME: 'fake', PRESTART_SANDBOXES: 'false', DRAIN_SECONDS: '2' };

let dir: string;
before(async () => {
  dir = await mkdtemp(path.join(os.tmpdir(), 'cloister-backup-'));
  await writeFile(path.join(dir, 'passphrase'), 'a passphrase that is long enough\n');
});
after(() => rm(dir, { recursive: true, force: true }));

const clientOf = ({ url }: { readonly url: string }) => createClient({ url, key: ADMIN_KEY });

async function newSession(client: Client): Promise<string> {
  const agent = (await client.agents.list()).data[0]?.id ?? '';
  const environment = (await client.environments.list()).data[0]?.id ?? '';
  return (await client.sessions.create({ agent, environment_id: environment })).id;
}

/** The fake agent says which turn of its conversation this is: it remembers them in its home. */
async function say(client: Client, session: string, content: string, turn: number): Promise<void> {
  const answer = await client.events.send(session, [{ type: 'user.message', content }], { wait: 60 });
  assert.equal(answer.turn?.outcome, 'completed');
  const said = (await client.events.list(session, { limit: 100, order: 'desc' })).data.find(({ type }) => type === 'agent.message');
  assert.match(JSON.stringify(said), new RegExp(`turns=${turn}\\b`));
}

async function messagesOf(client: Client, session: string): Promise<readonly string[]> {
  const texts: string[] = [];
  let page: string | undefined;
  do {
    const found = await client.events.list(session, { limit: 100, ...(page === undefined ? {} : { page }) });
    for (const event of found.data) if (event.type === 'user.message') texts.push(JSON.stringify(event));
    page = found.next_page ?? undefined;
  } while (page !== undefined);
  return texts;
}

/** Sends messages one after the other until it is stopped; answers what was accepted, by session. */
function flood(client: Client, sessions: readonly string[]): { readonly accepted: string[]; stop(): Promise<void> } {
  const accepted: string[] = [];
  let isStopped = false;
  const running = (async () => {
    for (let count = 0; !isStopped && count < MOST_MESSAGES; count++) {
      const session = sessions[count % sessions.length] ?? '';
      const text = `message-${count}-of-${session}`;
      await client.events.send(session, [{ type: 'user.message', content: text }]);
      accepted.push(text);
    }
  })();
  // A test that has failed meanwhile has taken the server away; `stop` says anything else.
  running.catch(() => undefined);
  return {
    accepted,
    async stop() {
      isStopped = true;
      await running;
    },
  };
}

/** A conversation with files of all kinds, and messages that keep coming. */
async function prepare(server: ServerProcess) {
  const client = clientOf(server);
  const session = await newSession(client);
  await say(client, session, 'the first message', 1);
  await client.files.write(session, 'notes/plan.txt', new Uint8Array(Buffer.from('what was planned')));
  const workspace = path.join(server.dataDir, 'sessions', session, 'workspace');
  await chmod(path.join(workspace, 'notes'), 0o750);
  await symlink('notes/plan.txt', path.join(workspace, 'link'));
  await symlink('/etc/shadow', path.join(workspace, 'outside'));
  const busy = [await newSession(client), await newSession(client)];
  const load = flood(client, busy);
  await waitFor(() => load.accepted.length >= 10, { timeoutMs: 30_000, what: 'messages to come' });
  return { client, session, busy, load };
}

type Prepared = Awaited<ReturnType<typeof prepare>>;

/** All that was accepted before the backup is there, and the conversation goes on. */
async function goOn(client: Client, { session, busy }: Prepared, promised: readonly string[]): Promise<void> {
  const there = (await Promise.all(busy.map((one) => messagesOf(client, one)))).flat().join('\n');
  for (const text of promised) assert.ok(there.includes(`"${text}"`), `${text} is lost`);
  assert.equal(await (await client.files.read(session, 'notes/plan.txt')).text(), 'what was planned');
  assert.equal((await client.files.list(session)).data.length, 3);
  await say(client, session, 'go on elsewhere', 2);
  const history = (await messagesOf(client, session)).join('\n');
  assert.match(history, /the first message.*go on elsewhere/s);
  for (const one of busy)
    await waitFor(async () => (await client.sessions.get(one)).status === 'idle', {
      timeoutMs: 60_000,
      what: 'what was queued to be answered',
    });
}

const done = ({ code, stderr }: CliResult): void => assert.equal(code, 0, stderr);

describe('a backup of SQLite under load', { skip, timeout: LIMIT_MS }, () => {
  it('is restored elsewhere, where the conversation goes on', async () => {
    const passphrase = ['--passphrase-file', path.join(dir, 'passphrase')];
    const into = path.join(dir, 'elsewhere');
    let prepared: Prepared;
    let promised: readonly string[];
    let place: string;
    {
      await using server = await startServerProcess({ env: ENV });
      prepared = await prepare(server);
      promised = [...prepared.load.accepted];
      const env = { ...ENV, DATA_DIR: server.dataDir };
      const made = await runCli(env, ['backup', '--to', path.join(dir, 'backups'), '--with-keys', ...passphrase]);
      done(made);
      place = made.stdout.toString().trim();
      const piped = await runCli(env, ['backup', '--to', '-']);
      done(piped);
      await writeFile(path.join(dir, 'piped.tar.gz'), piped.stdout);
      await prepared.load.stop();
      await server.kill('SIGKILL');
      const keys = await readFile(path.join(server.dataDir, 'keys', (await readdir(path.join(server.dataDir, 'keys')))[0] ?? ''));
      assert.ok(keys.length > 0);
      for (const file of await readdir(place, { recursive: true, withFileTypes: true }))
        if (file.isFile())
          assert.equal((await readFile(path.join(file.parentPath, file.name))).includes(keys.subarray(0, 40)), false, file.name);
    }
    const restored = await runCli(ENV, ['restore', place, '--into', into, ...passphrase]);
    done(restored);
    assert.match(restored.stdout.toString(), /the files of 3 sessions/);
    assert.equal((await stat(into)).mode & 0o777, 0o700);
    const { session } = prepared;
    assert.equal((await stat(path.join(into, 'sessions', session, 'workspace', 'notes'))).mode & 0o777, 0o750);
    assert.ok((await readdir(path.join(into, 'keys'))).length > 0);
    await using server = await startServerProcess({ env: { ...ENV, DATA_DIR: into } });
    await goOn(clientOf(server), prepared, promised);
    const refused = await runCli({ ...ENV, DATA_DIR: into }, ['restore', place, '--force', ...passphrase]);
    assert.equal(refused.code, 3, 'a server runs there');
    assert.match(refused.stderr, /already owns this database/);
  });

  it('through a pipe is the same, and goes into PostgreSQL too', { skip: skipWithoutPostgres }, async () => {
    await using stores = await startPostgresStores();
    const url = await stores.postgres.createDatabase();
    const into = path.join(dir, 'from-pipe');
    done(await runCli(ENV, ['restore', '-', '--into', into, '--to-database', url], await readFile(path.join(dir, 'piped.tar.gz'))));
    assert.equal(existsSync(path.join(into, 'cloister.db')), false);
    await using server = await startServerProcess({ env: { ...ENV, DATA_DIR: into, DATABASE_URL: url } });
    const client = clientOf(server);
    const session = (await client.sessions.list({ limit: 100 })).data.at(-1)?.id ?? '';
    assert.equal(await (await client.files.read(session, 'notes/plan.txt')).text(), 'what was planned');
    await say(client, session, 'go on elsewhere', 2);
  });

  it('that is damaged, cut off, newer or without its passphrase is refused, and nothing is left', async () => {
    const place = path.join(dir, 'backups', (await readdir(path.join(dir, 'backups')))[0] ?? '');
    const into = path.join(dir, 'nothing');
    const refuse = async (what: RegExp, code: number, ...args: string[]) => {
      const result = await runCli(ENV, ['restore', ...args, '--into', into]);
      assert.match(result.stderr, what);
      assert.equal(result.code, code);
      assert.equal(existsSync(into), false);
      assert.deepEqual(
        (await readdir(dir)).filter((name) => name.startsWith('.restore-')),
        [],
      );
    };
    await refuse(/holds keys/, 7, place);
    await writeFile(path.join(dir, 'wrong'), 'another passphrase altogether\n');
    await refuse(/cannot be opened with this passphrase/, 7, place, '--passphrase-file', path.join(dir, 'wrong'));
    const piped = await readFile(path.join(dir, 'piped.tar.gz'));
    await writeFile(path.join(dir, 'cut.tar.gz'), piped.subarray(0, piped.length / 2));
    await refuse(/damaged or cut off/, 7, path.join(dir, 'cut.tar.gz'));
    const manifest = path.join(place, 'manifest.json');
    const text = (await readFile(manifest, 'utf8')).replace(/"schema_version": \d+/, '"schema_version": 999');
    await writeFile(manifest, text);
    await refuse(/manifest does not match its checksum/, 7, place, '--without-keys');
    const sum = createHash('sha256').update(text).digest('hex');
    const sums = path.join(place, 'SHA256SUMS');
    await writeFile(sums, (await readFile(sums, 'utf8')).replace(/[0-9a-f]{64}(?= {2}manifest\.json)/, sum));
    await refuse(/written by a newer Cloister/, 7, place, '--without-keys');
    {
      await using file = await open(path.join(place, 'database.db'), 'r+');
      await file.write(Buffer.from('x'), 0, 1, 4000);
    }
    await refuse(/database\.db does not match its checksum/, 7, place, '--without-keys');
    const target = path.join(dir, 'elsewhere');
    const full = await runCli(ENV, ['restore', path.join(dir, 'piped.tar.gz'), '--into', target]);
    assert.equal(full.code, 7);
    assert.match(full.stderr, /holds something already/);
    done(await runCli(ENV, ['restore', path.join(dir, 'piped.tar.gz'), '--into', target, '--force']));
    assert.ok((await readdir(dir)).some((name) => name.startsWith('elsewhere.before-restore-')));
  });
});

describe('a backup of PostgreSQL under load', { skip: skip || skipWithoutPostgres, timeout: LIMIT_MS }, () => {
  let stores: PostgresStores;
  before(async () => {
    stores = await startPostgresStores();
  });
  after(() => stores?.close());

  it('is of one moment, and goes on in another database', async () => {
    const [first, second] = [await stores.postgres.createDatabase(), await stores.postgres.createDatabase()];
    const file = path.join(dir, 'postgres.tar.gz');
    let prepared: Prepared;
    let promised: readonly string[];
    {
      await using server = await startServerProcess({ env: { ...ENV, DATABASE_URL: first } });
      prepared = await prepare(server);
      promised = [...prepared.load.accepted];
      done(await runCli({ ...ENV, DATABASE_URL: first, DATA_DIR: server.dataDir }, ['backup', '--to', file]));
      await prepared.load.stop();
      await server.kill('SIGKILL');
    }
    const into = path.join(dir, 'postgres-elsewhere');
    const full = await runCli({ ...ENV, DATABASE_URL: first }, ['restore', file, '--into', into]);
    assert.match(full.stderr, /already holds data/);
    assert.equal(existsSync(into), false);
    done(await runCli({ ...ENV, DATABASE_URL: second }, ['restore', file, '--into', into]));
    await using server = await startServerProcess({ env: { ...ENV, DATABASE_URL: second, DATA_DIR: into } });
    await goOn(clientOf(server), prepared, promised);
  });
});
