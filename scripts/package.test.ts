import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { VERSION } from '../packages/server/src/base/version.ts';
import { waitFor } from '../packages/server/test/support/wait-for.ts';
import { programEnvironment } from '../test/support/program-environment.ts';
import { PACKAGE_CONTENTS, SIZE_LIMITS } from './gates.ts';
import { packPackage } from './package.ts';

const run = promisify(execFile);
const ROOT = path.resolve(import.meta.dirname, '..');

test('the npm package holds what it should and nothing else, is installed without a network, and serves', {
  timeout: 300_000,
}, async () => {
  // `npm test` has built it.
  if (!existsSync(path.join(ROOT, 'packages/server/dist/cloister.mjs'))) await run(process.execPath, ['scripts/build.ts'], { cwd: ROOT });
  const folder = await mkdtemp(path.join(tmpdir(), 'cloister-packed-'));
  try {
    const { file, bytes, contents } = await packPackage(folder);
    const strange = contents.filter((name) => !PACKAGE_CONTENTS.some((pattern) => pattern.test(name)));
    assert.deepEqual(strange, [], 'every file of the package is on the list in gates.ts');
    for (const needed of ['LICENSE', 'README.md', 'bin/cloister.cjs', 'dist/assets/dashboard/index.html', 'dist/assets/docs/index.html'])
      assert.ok(contents.includes(needed), needed);
    assert.ok(bytes < SIZE_LIMITS['npm package'], `${bytes} bytes`);

    const prefix = path.join(folder, 'prefix');
    const { NODE_COMPILE_CACHE: _, ...inherited } = programEnvironment();
    const env = {
      ...inherited,
      HOME: folder,
      // The program's first line asks for `node`, as npm's own does.
      PATH: `${path.dirname(process.execPath)}${path.delimiter}${process.env.PATH ?? ''}`,
    };
    const cache = path.join(folder, 'cache');
    await run('npm', ['install', '--global', '--offline', '--no-audit', '--no-fund', '--cache', cache, '--prefix', prefix, file], { env });
    const cloister = path.join(prefix, 'bin', 'cloister');
    assert.equal((await run(cloister, ['--version'], { env })).stdout.trim(), VERSION);
    await keepsCompiled(cloister, env, path.join(folder, '.cache', 'cloister', 'compiled'));
    await serves(cloister, { ...env, DATA_DIR: path.join(folder, 'data') });
  } finally {
    await rm(folder, { recursive: true });
  }
});

/** In a directory of this user's alone, and in no other. */
async function keepsCompiled(cloister: string, env: NodeJS.ProcessEnv, cache: string): Promise<void> {
  assert.match((await run(cloister, ['--help'], { env })).stdout, /^ {2}sessions /m);
  assert.notDeepEqual(await readdir(cache), []);
  assert.equal((await stat(cache)).mode & 0o777, 0o700);
  for (const one of await readdir(cache)) await rm(path.join(cache, one), { recursive: true });
  await chmod(cache, 0o777);
  await run(cloister, ['--help'], { env });
  assert.deepEqual(await readdir(cache), [], 'others may write there');
}

async function serves(cloister: string, env: NodeJS.ProcessEnv): Promise<void> {
  const server = spawn(cloister, ['serve'], { env: { ...env, CLOISTER_RUNTIME: 'fake', PORT: '0' }, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = once(server, 'exit');
  let output = '';
  for (const stream of [server.stdout, server.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  try {
    const url = await waitFor(
      () => {
        if (server.exitCode !== null) throw new Error(`it ended with ${server.exitCode}: ${output}`);
        return /ready at .*?(http:\/\/[\d.:]+)/.exec(output)?.[1];
      },
      { timeoutMs: 120_000, what: 'the installed server' },
    );
    for (const route of ['/health', '/dashboard', '/docs']) assert.equal((await fetch(url + route)).status, 200, route);
  } finally {
    server.kill('SIGTERM');
    await ended;
  }
}
