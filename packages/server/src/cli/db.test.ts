import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type PostgresStores, skipWithoutPostgres, startPostgresStores } from '../../test/support/postgres-stores.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { systemClock } from '../base/clock.ts';
import {
  accept,
  append,
  ask,
  createSession,
  finish,
  lease,
  message,
  newEvent,
  queue,
  readLog,
  T0,
  TENANT,
  tryLease,
} from '../store/conformance/kit.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import type { Store } from '../store/store.ts';

const MAIN = path.join(import.meta.dirname, 'main.ts');
const folder = mkdtempSync(path.join(tmpdir(), 'cloister-db-'));
let folders = 0;
after(() => rmSync(folder, { recursive: true, force: true }));

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function db(env: Record<string, string>, ...args: string[]): Promise<Result> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, 'db', ...args], { env, timeout: 60_000 }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr });
    });
  });
}

function newDataDir(): { readonly dir: string; readonly file: string } {
  const dir = path.join(folder, String(folders++));
  return { dir, file: path.join(dir, 'cloister.db') };
}

const open = (file: string) => openSqliteStore({ file, clock: systemClock });

/** Something in every table that matters, and `events` more in one log. */
async function fill(store: Store, events: number): Promise<{ readonly sessionId: string; readonly queued: string }> {
  await store.agents.create({ tenantId: TENANT, id: 'agt_one', definition: { name: 'Ada "Ü" \u0000 𝕏' }, now: T0 });
  await store.environments.create({ tenantId: TENANT, id: 'env_one', definition: { name: 'here' }, now: T0 });
  await store.apiKeys.ensure({ id: 'key_one', tenantId: TENANT, name: 'k', role: 'admin', hash: 'a'.repeat(64), now: T0 });
  const { id: sessionId } = await createSession(store);
  await store.turns.accept({
    tenantId: TENANT,
    sessionId,
    events: [message('Grüße')],
    idempotency: { key: 'k', requestHash: 'h', keepMs: 0 },
    maxQueuedPerSession: 9,
    now: T0,
  });
  const leased = await lease(store);
  const payload = { text: 'x'.repeat(300) };
  for (let done = 0; done < events; done += 500)
    await append(store, leased, { events: Array.from({ length: Math.min(500, events - done) }, () => newEvent('agent.message', payload)) });
  await finish(store, leased);
  const asking = await createSession(store);
  await queue(store, asking.id);
  await ask(store, await lease(store));
  const waiting = await createSession(store);
  return { sessionId, queued: await queue(store, waiting.id) };
}

function digestOf(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

describe('cloister db, on SQLite', () => {
  test('status says version, rows and what is to be migrated, and migrate does it', async () => {
    const { dir, file } = newDataDir();
    const env = { DATA_DIR: dir };
    const none = JSON.parse((await db(env, 'status', '--json')).stdout);
    assert.equal(none.version, 0);
    assert.ok(none.pending.length > 0);
    await (await open(file)).close();
    const full: { version: number; pending: string[]; tables: { name: string; rows: number }[] } = JSON.parse(
      (await db(env, 'status', '--json')).stdout,
    );
    assert.deepEqual([full.version, full.pending], [none.pending.length, []]);
    assert.equal(full.tables.find(({ name }) => name === 'installation')?.rows, 1);
    const human = await db(env, 'status');
    assert.match(human.stdout, /up to date/);
    const { code, stderr } = await db(env, 'migrate');
    assert.deepEqual([code, /up to date/.test(stderr)], [0, true]);
  });

  test('a running server keeps it from being migrated', async () => {
    const { dir, file } = newDataDir();
    const store = await open(file);
    const { code, stderr } = await db({ DATA_DIR: dir }, 'migrate');
    assert.equal(code, 3);
    assert.match(stderr, /already owns this database/);
    assert.equal((await db({ DATA_DIR: dir }, 'status')).code, 0, 'while its status may be asked for');
    await store.close();
  });
});

describe('cloister db, on PostgreSQL', { skip: skipWithoutPostgres, timeout: 120_000 }, () => {
  let stores: PostgresStores;
  before(async () => {
    stores = await startPostgresStores();
  });
  after(() => stores.close());

  const withPassword = (url: string): string => {
    const secret = new URL(url);
    secret.password = 'hunter2';
    return secret.href;
  };

  test('status and migrate work on an empty one, and say no password', async () => {
    const env = { DATABASE_URL: withPassword(await stores.postgres.createDatabase()) };
    const before = await db(env, 'status');
    assert.match(before.stdout, /to be migrated: initial/);
    const { stdout, code } = await db(env, 'migrate');
    assert.deepEqual([code, /made initial/.test(stdout)], [0, true]);
    const afterwards = await db(env, 'status', '--json');
    assert.deepEqual(JSON.parse(afterwards.stdout).pending, []);
    for (const result of [before, afterwards]) assert.doesNotMatch(result.stdout + result.stderr, /hunter2/);
  });

  test('move copies everything, and the server goes on there', async () => {
    const { dir, file } = newDataDir();
    const store = await open(file);
    const { sessionId, queued } = await fill(store, 1200);
    const log = await readLog(store, sessionId);
    const installation = await store.installationId();
    await store.close();
    const bytes = digestOf(file);
    const url = await stores.postgres.createDatabase();
    const { code, stdout, stderr } = await db({ DATA_DIR: dir }, 'move', '--to', withPassword(url));
    assert.equal(code, 0, stderr);
    assert.match(stdout, /events +1\d\d\d +[0-9a-f]{32}/);
    assert.doesNotMatch(stdout + stderr, /hunter2/);
    assert.equal(digestOf(file), bytes, 'the source is untouched');
    assert.deepEqual(
      readdirSync(dir).filter((name) => !name.endsWith('.lock')),
      ['cloister.db'],
    );
    const moved = await stores.open(url);
    assert.equal(await moved.installationId(), installation);
    assert.deepEqual(await readLog(moved, sessionId), log);
    assert.equal((await moved.agents.find({ tenantId: TENANT, id: 'agt_one' }))?.definition.name, 'Ada "Ü" \u0000 𝕏');
    assert.equal((await tryLease(moved))?.turn.id, queued, 'what waited goes on waiting, and comes first');
    const { id } = await createSession(moved);
    await accept(moved, id, [message()]);
    assert.ok((await tryLease(moved)) !== undefined, 'new turns count on from the old ones');
    await moved.close();
    const again = await db({ DATA_DIR: dir }, 'move', '--to', url);
    assert.equal(again.code, 7);
    assert.match(again.stderr, /already holds data/);
  });

  test('a move that is killed goes on where it was, and no server starts in between', async () => {
    const { dir, file } = newDataDir();
    const store = await open(file);
    await fill(store, 60_000);
    await store.close();
    const bytes = digestOf(file);
    const url = await stores.postgres.createDatabase();
    const env = { DATA_DIR: dir, DATABASE_URL: url };
    const child = spawn(process.execPath, [MAIN, 'db', 'move'], { env, stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += String(chunk);
    });
    await waitFor(() => /copying events: [1-9]\d{3,} of/.test(said), { timeoutMs: 30_000, what: 'a part of the events' });
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.doesNotMatch(said, /comparing events/);
    await assert.rejects(stores.open(url), /not finished/);
    const { code, stderr } = await db(env, 'move');
    assert.equal(code, 0, stderr);
    const first = Number(/copying events: (\d+) of/.exec(stderr)?.[1]);
    assert.ok(first >= 1000, `it goes on, and not from ${first}`);
    assert.equal(digestOf(file), bytes);
    await (await stores.open(url)).close();
  });

  test('a source that has changed since is found out, and begun anew on request', async () => {
    const { dir, file } = newDataDir();
    const store = await open(file);
    const { sessionId } = await fill(store, 60_000);
    await store.close();
    const url = await stores.postgres.createDatabase();
    const env = { DATA_DIR: dir, DATABASE_URL: url };
    const child = spawn(process.execPath, [MAIN, 'db', 'move'], { env, stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += String(chunk);
    });
    await waitFor(() => /copying events: [1-9]\d{3,} of/.test(said), { timeoutMs: 30_000, what: 'a part of the events' });
    child.kill('SIGKILL');
    await once(child, 'exit');
    const changed = await open(file);
    await changed.sessions.update({ tenantId: TENANT, id: sessionId, title: 'another', now: T0 });
    await changed.close();
    const { code, stderr } = await db(env, 'move');
    assert.equal(code, 7);
    assert.match(stderr, /table sessions has/);
    const restarted = await db(env, 'move', '--restart', '--json');
    assert.equal(restarted.code, 0, restarted.stderr);
    assert.equal(JSON.parse(restarted.stdout).file, file);
  });

  test('a running server, a foreign target and a wrong address are refused', async () => {
    const { dir, file } = newDataDir();
    const store = await open(file);
    await createSession(store);
    const url = await stores.postgres.createDatabase();
    const running = await db({ DATA_DIR: dir }, 'move', '--to', url);
    assert.equal(running.code, 3);
    assert.match(running.stderr, /already owns this database/);
    await store.close();
    const used = await stores.open(url);
    await createSession(used);
    await used.close();
    const foreign = await db({ DATA_DIR: dir }, 'move', '--to', url);
    assert.equal(foreign.code, 7);
    assert.match(foreign.stderr, /sessions: 1/);
    const wrong = await db({ DATA_DIR: dir }, 'move', '--to', 'https://me:hunter2@host/db');
    assert.notEqual(wrong.code, 0);
    assert.doesNotMatch(wrong.stderr, /hunter2/);
    assert.equal((await db({ DATA_DIR: newDataDir().dir }, 'move', '--to', url)).code, 3, 'without a source there is nothing to move');
  });
});
