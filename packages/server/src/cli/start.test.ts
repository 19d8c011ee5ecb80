import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { describe, it } from 'node:test';
import { programEnvironment } from '../../../../test/support/program-environment.ts';

const MAIN = path.join(import.meta.dirname, 'main.ts');

/** Says at the end which modules were loaded: told by what is loaded, a start is fast on any machine. */
const WATCH = `data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from 'node:module';
  import { writeSync } from 'node:fs';
  const loaded = [];
  registerHooks({ load(url, context, next) { loaded.push(url); return next(url, context); } });
  process.on('exit', () => writeSync(2, '\\0' + JSON.stringify(loaded)));
`)}`;

function loadedBy(...args: readonly string[]): Promise<readonly string[]> {
  const env = { ...programEnvironment(), CLOISTER_URL: 'http://127.0.0.1:1' };
  return new Promise((resolve, reject) => {
    execFile(process.execPath, ['--import', WATCH, MAIN, ...args], { env, timeout: 60_000 }, (_, __, stderr) => {
      const [, list] = stderr.split('\0');
      if (list === undefined) reject(new Error(stderr));
      else resolve(JSON.parse(list));
    });
  });
}

const isAny = (urls: readonly string[], pattern: RegExp) => urls.filter((url) => pattern.test(url));

describe('a start of the command line loads', () => {
  it('next to nothing for --version', async () => {
    const loaded = await loadedBy('--version');
    assert.ok(loaded.length > 0);
    assert.deepEqual(isAny(loaded, /node_modules|config\.ts|packages\/api/), []);
  });

  it('no command for --help, and for a name that there is not', async () => {
    for (const args of [['--help'], ['nonsense']]) {
      const loaded = await loadedBy(...args);
      assert.ok(isAny(loaded, /cli\/program\.ts$/).length > 0);
      assert.deepEqual(isAny(loaded, /cli\/(agents|sessions|doctor|connection)\.ts$|config\.ts$|packages\/api|\/(zod|yaml|hono|pg)\//), []);
    }
  });

  it('the one command that is asked for, without the server', async () => {
    const loaded = await loadedBy('status', '--quiet');
    assert.ok(isAny(loaded, /cli\/status\.ts$/).length > 0);
    assert.deepEqual(
      isAny(loaded, /cli\/(agents|sessions|doctor)\.ts$|\/(store|runtime|http|turns)\/|src\/main\.ts$|\/(hono|pg|ws)\//),
      [],
    );
  });
});
