import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { skipWithoutOwnPostgres, startPostgres } from './postgres.ts';

const skip = skipWithoutOwnPostgres;

async function ask(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const result = await client.query({ text: sql, rowMode: 'array' });
    return result.rows.flat();
  } finally {
    await client.end();
  }
}

it('keeps what was committed over a stop and over a kill, on the same port', { skip }, async () => {
  await using postgres = await startPostgres({ own: true });
  assert.ok(postgres);
  const url = await postgres.createDatabase();
  await ask(url, 'CREATE TABLE kept (n INTEGER)');
  await ask(url, 'INSERT INTO kept VALUES (1)');
  await postgres.stop('fast');
  await assert.rejects(ask(url, 'SELECT 1'));
  await postgres.start();
  await ask(url, 'INSERT INTO kept VALUES (2)');
  await postgres.kill();
  await assert.rejects(ask(url, 'SELECT 1'));
  await postgres.start();
  assert.deepEqual(await ask(url, 'SELECT n FROM kept ORDER BY n'), [1, 2]);
  assert.deepEqual(await ask(url, 'SHOW fsync'), ['on']);
  const copy = await postgres.createDatabase({ template: url });
  assert.deepEqual(await ask(copy, 'SELECT count(*)::int FROM kept'), [2]);
});

it('goes when the process that started it is killed', { skip }, async () => {
  const program = `
    import { startPostgres } from ${JSON.stringify(`${import.meta.dirname}/postgres.ts`)};
    const postgres = await startPostgres({ own: true, fsync: false });
    console.log(await postgres.createDatabase());
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [chunk] = await once(child.stdout, 'data');
  const url = String(chunk).trim();
  const [folder] = await ask(url, 'SHOW data_directory');
  assert.ok(existsSync(String(folder)));
  child.kill('SIGKILL');
  await once(child, 'exit');
  const deadline = performance.now() + 10_000;
  while (existsSync(String(folder)) && performance.now() < deadline) await sleep(50);
  assert.equal(existsSync(String(folder)), false);
  await assert.rejects(ask(url, 'SELECT 1'));
});
