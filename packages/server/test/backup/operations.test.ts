import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { systemClock } from '../../src/base/clock.ts';
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { runCli } from '../support/run-cli.ts';

const skip = process.platform === 'linux' ? false : 'files of workspaces are reached on Linux only';
const CANARIES = {
  CLOISTER_ADMIN_KEY: 'clst_canary-of-the-admin-key-9f31',
  ANTHROPIC_API_KEY: 'sk-ant-canary-of-the-provider-7721',
  CLOISTER_KEK: 'q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=',
};
const PASSWORD = 'canary-of-the-database-5a5a';

let dir: string;
let env: Record<string, string>;
before(async () => {
  dir = await mkdtemp(path.join(os.tmpdir(), 'cloister-operations-'));
  env = { CLOISTER_RUNTIME: 'fake', DATA_DIR: path.join(dir, 'data'), PORT: '1' };
  const store = await openSqliteStore({ file: path.join(dir, 'data', 'cloister.db'), clock: systemClock });
  await mkdir(path.join(dir, 'data', 'sessions'), { recursive: true });
  await writeFile(path.join(dir, 'data', 'sessions', '.installation'), await store.installationId());
  await store.close();
});
after(() => rm(dir, { recursive: true, force: true }));

describe('cloister support-bundle', () => {
  it('holds what helps, and no secret', async () => {
    const log = path.join(dir, 'server.log');
    const secrets = [...Object.values(CANARIES), PASSWORD];
    await writeFile(log, `${secrets.map((secret) => `a line that says ${secret}`).join('\n')}\nthe last line\n`);
    const to = path.join(dir, 'bundle.tar.gz');
    const url = `postgres://cloister:${PASSWORD}@127.0.0.1:1/none`;
    const made = await runCli({ ...env, ...CANARIES, LOG_FILE: log, DATABASE_URL: url }, ['support-bundle', '--to', to]);
    assert.equal(made.code, 0, made.stderr);
    const text = gunzipSync(await readFile(to)).toString('latin1');
    for (const part of ['versions.json', 'settings.json', 'doctor.json', 'database.json', 'engine.json', 'status.json', 'the last line'])
      assert.ok(text.includes(part), part);
    for (const secret of [...secrets, ...secrets.map((one) => Buffer.from(one).toString('base64'))])
      assert.equal(text.includes(secret), false, secret);
  });
});

describe('cloister prune', { skip }, () => {
  it('lists first, and removes what belongs to nobody when told to', async () => {
    const forgotten = path.join(dir, 'data', 'sessions', 'ses_of_nobody');
    const young = path.join(dir, 'data', 'sessions', 'ses_just_made');
    for (const place of [forgotten, young]) await mkdir(path.join(place, 'workspace'), { recursive: true });
    await utimes(forgotten, 1, 1);
    const backups = path.join(dir, 'data', 'backups');
    await mkdir(backups, { recursive: true });
    for (let day = 1; day <= 4; day++) await writeFile(path.join(backups, `before-19-2026010${day}T000000Z.db`), 'x');
    const listed = await runCli(env, ['prune', '--json']);
    assert.equal(listed.code, 0, listed.stderr);
    const oldest = path.join(backups, 'before-19-20260101T000000Z.db');
    const found: { what: string }[] = JSON.parse(listed.stdout.toString()).items;
    assert.deepEqual(
      found.map(({ what }) => what),
      [forgotten, oldest],
    );
    assert.ok(existsSync(forgotten) && existsSync(oldest), 'nothing was removed');
    const removed = await runCli(env, ['prune', '--yes']);
    assert.equal(removed.code, 0, removed.stderr);
    assert.deepEqual([forgotten, oldest, young].map(existsSync), [false, false, true]);
    assert.match((await runCli(env, ['prune'])).stderr, /nothing to remove/);
  });
});
