import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { programEnvironment } from '../../../../test/support/program-environment.ts';
import { startTestServer } from '../support/server.ts';

const MAIN = path.resolve(import.meta.dirname, '../../src/cli/main.ts');

test('uploads, skills and memory from the command line', async () => {
  await using server = await startTestServer();
  const folder = await mkdtemp(path.join(os.tmpdir(), 'contents-cli-'));
  try {
    const run = async (...args: string[]): Promise<string> => {
      const env = { ...programEnvironment(), CLOISTER_URL: server.url, CLOISTER_API_KEY: server.key };
      const child = spawn(process.execPath, [MAIN, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
      const exited = new Promise<number | null>((resolve) => void child.once('exit', resolve));
      const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), exited]);
      assert.equal(code, 0, `${args.join(' ')}: ${err}`);
      return out;
    };
    await writeFile(path.join(folder, 'notes.md'), 'to be kept');
    const file = (await run('uploads', 'add', path.join(folder, 'notes.md'))).trim();
    assert.equal(await run('uploads', 'get', file), 'to be kept');
    assert.match(await run('uploads'), /notes\.md +text\/markdown +10/);

    const skill = path.join(folder, 'reports');
    await mkdir(path.join(skill, 'scripts'), { recursive: true });
    await writeFile(path.join(skill, 'SKILL.md'), '---\nname: reports\ndescription: Writes reports.\n---\n');
    await writeFile(path.join(skill, 'scripts', 'run.sh'), 'true', { mode: 0o755 });
    const id = (await run('skills', 'push', skill, '--name', 'Reports')).trim();
    await run('skills', 'push', skill, '--skill', id);
    assert.match(await run('skills'), new RegExp(`${id} +Reports`));
    assert.equal((await server.client.beta.skills.versions.list(id)).data.length, 2);

    const store = (await run('memory', 'create', 'Notes', '--description', 'What is known')).trim();
    await run('memory', 'write', store, '/a/b.md', path.join(folder, 'notes.md'));
    assert.equal(await run('memory', 'show', store, '/a/b.md'), 'to be kept');
    await run('memory', 'delete', store, '/a/b.md');
    assert.match(await run('memory', 'history', store), /deleted +\/a\/b\.md[\s\S]*created +\/a\/b\.md/);
  } finally {
    await rm(folder, { recursive: true });
  }
});
