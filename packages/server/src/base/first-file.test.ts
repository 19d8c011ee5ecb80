import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { it } from 'node:test';
import { promisify } from 'node:util';
import { makeFirst } from './first-file.ts';

const run = promisify(execFile);
const RACERS = 4;
/** Makes files with its own text, and prints a letter for each that it finds there afterwards. */
const RACER = `
  const [module, directory, own] = process.argv.slice(1);
  const { readFileSync } = await import('node:fs');
  const { makeFirst } = await import(module);
  for (let at = 0; at < 40; at++) {
    makeFirst(directory + '/' + at, own.repeat(50000));
    const text = readFileSync(directory + '/' + at, 'utf8');
    process.stdout.write(text === text[0].repeat(50000) ? text[0] : '?');
  }`;

it('of several that start together one makes the file, and all read the whole of it', { timeout: 60_000 }, async (t) => {
  const root = await mkdtemp(path.join(tmpdir(), 'first-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  const directory = path.join(root, 'keys');
  const module = path.join(import.meta.dirname, 'first-file.ts');
  const printed = await Promise.all(
    Array.from({ length: RACERS }, async (_, racer) => {
      const { stdout } = await run(process.execPath, ['--input-type=module', '-e', RACER, module, directory, String(racer)]);
      return stdout;
    }),
  );
  const [first = ''] = printed;
  assert.match(first, /^[0-3]{40}$/);
  assert.deepEqual(
    printed,
    printed.map(() => first),
  );
  assert.equal((await readdir(directory)).length, 40, 'no draft is left');
  assert.equal(makeFirst(path.join(directory, '0'), 'later'), false);
  const { mode } = await stat(path.join(directory, '0'));
  assert.deepEqual([mode & 0o777, (await stat(directory)).mode & 0o777], [0o600, 0o700]);
});
