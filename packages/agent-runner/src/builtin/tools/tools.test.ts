import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { createTools } from './catalog.ts';
import { parseGlob } from './glob-pattern.ts';
import { createProcessGroups } from './process-groups.ts';

const tools = createTools(new URL('../main.ts', import.meta.url));

function setup(files: Readonly<Record<string, string | Buffer>> = {}) {
  const cwd = mkdtempSync(path.join(tmpdir(), 'tools-'));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(cwd, name)), { recursive: true });
    writeFileSync(path.join(cwd, name), content);
  }
  const groups = createProcessGroups();
  const abort = new AbortController();
  return {
    cwd,
    groups,
    abort,
    async run(name: string, input: object): Promise<string> {
      const tool = tools.find((one) => one.name === name);
      assert.ok(tool, `no tool ${name}`);
      return await tool.run(input, { cwd, signal: abort.signal, groups });
    },
    content: (name: string) => readFileSync(path.join(cwd, name), 'utf8'),
    [Symbol.dispose]() {
      groups.killAll();
      rmSync(cwd, { recursive: true, force: true });
    },
  };
}

describe('bash', () => {
  test('runs in the workspace and merges both outputs in their order', async () => {
    using given = setup();
    assert.equal(await given.run('bash', { command: 'pwd; echo a; echo b >&2; echo c' }), `${given.cwd}\na\nb\nc`);
    assert.equal(await given.run('bash', { command: 'true' }), '(no output)');
  });

  test('says how a command failed', async () => {
    using given = setup();
    await assert.rejects(given.run('bash', { command: 'echo why; exit 3' }), { message: 'why\n[exit code 3]' });
    await assert.rejects(given.run('bash', { command: 'kill -KILL $$' }), { message: '[killed by SIGKILL]' });
    await assert.rejects(given.run('bash', {}), /command is missing/);
  });

  test('cuts the middle of a long output and keeps its ends', async () => {
    using given = setup();
    const output = await given.run('bash', { command: 'echo first; seq 1 100000; echo last' });
    assert.ok(output.length < 31_000, `${output.length} characters`);
    assert.match(output, /^first\n1\n[\s\S]*\[… \d+ characters cut …\][\s\S]*100000\nlast$/);
  });

  test('kills a command that takes too long, with what it had said', async () => {
    using given = setup();
    await assert.rejects(given.run('bash', { command: 'echo begun; sleep 60', timeout_ms: 300 }), {
      message: 'begun\n[killed after 300 ms]',
    });
  });

  test('kills a command that ignores being asked to end', async () => {
    using given = setup();
    await assert.rejects(
      given.run('bash', { command: 'trap "" TERM; while :; do sleep 0.05; done', timeout_ms: 100 }),
      /killed after 100 ms/,
    );
  });

  test('does not wait for a background process, and restart kills it', async () => {
    using given = setup();
    const pid = Number(await given.run('bash', { command: 'sleep 60 & echo $!' }));
    assert.ok(existsSync(`/proc/${pid}`));
    assert.match(await given.run('bash', { restart: true }), /1 background process groups? were killed/);
    assert.equal(given.groups.killAll(), 0);
  });
});

describe('read, write and edit', () => {
  test('write makes directories, read returns exactly what was written', async () => {
    using given = setup();
    assert.match(await given.run('write', { file_path: 'a/b/c.txt', content: 'é\nb\n' }), /Wrote 5 bytes/);
    assert.equal(await given.run('read', { file_path: 'a/b/c.txt' }), 'é\nb\n');
    assert.equal(await given.run('read', { file_path: path.join(given.cwd, 'a/b/c.txt') }), 'é\nb\n');
  });

  test('read takes a range of lines and says when the file is shorter', async () => {
    using given = setup({ 'ten.txt': Array.from({ length: 10 }, (_, index) => `line ${index + 1}\n`).join('') });
    assert.equal(await given.run('read', { file_path: 'ten.txt', view_range: [2, 3] }), 'line 2\nline 3\n');
    assert.equal(await given.run('read', { file_path: 'ten.txt', view_range: [10, -1] }), 'line 10\n');
    await assert.rejects(given.run('read', { file_path: 'ten.txt', view_range: [40, 50] }), /only/);
    await assert.rejects(given.run('read', { file_path: 'ten.txt', view_range: [3, 2] }), /ends before/);
  });

  test('read cuts a large file at a line and says where to go on', async () => {
    using given = setup({ 'large.txt': Array.from({ length: 50_000 }, (_, index) => `${index + 1}\n`).join('') });
    const text = await given.run('read', { file_path: 'large.txt' });
    const next = Number(/read on with view_range from line (\d+)/.exec(text)?.[1]);
    assert.ok(text.includes(`\n${next - 1}\n[cut`), 'the last whole line is the one before');
    assert.match(await given.run('read', { file_path: 'large.txt', view_range: [next, next] }), new RegExp(`^${next}\n$`));
  });

  test('read refuses what is no text file, by name', async () => {
    using given = setup({ 'binary.bin': Buffer.from([1, 0, 2]), empty: '' });
    await assert.rejects(given.run('read', { file_path: 'binary.bin' }), /binary/);
    await assert.rejects(given.run('read', { file_path: 'missing' }), /does not exist/);
    await assert.rejects(given.run('read', { file_path: '.' }), /directory/);
    await assert.rejects(given.run('read', { file_path: '/dev/zero' }), /not a regular file/);
    await given.run('bash', { command: 'mkfifo pipe' });
    await assert.rejects(given.run('read', { file_path: 'pipe' }), /not a regular file/);
    assert.match(await given.run('read', { file_path: 'empty' }), /empty/);
  });

  test('edit replaces one occurrence, or all when told to', async () => {
    using given = setup({ 'f.txt': 'one two one $&' });
    const edit = (change: object) => given.run('edit', { file_path: 'f.txt', ...change });
    await edit({ old_string: 'two', new_string: '$& $1' });
    assert.equal(given.content('f.txt'), 'one $& $1 one $&');
    await assert.rejects(edit({ old_string: 'one', new_string: 'x' }), /occurs 2 times/);
    assert.match(await edit({ old_string: 'one', new_string: 'x', replace_all: true }), /2 occurrences/);
    assert.equal(given.content('f.txt'), 'x $& $1 x $&');
    await assert.rejects(edit({ old_string: 'absent', new_string: 'x' }), /does not occur/);
    await assert.rejects(given.run('edit', { file_path: 'none', old_string: 'a', new_string: 'b' }), /does not exist/);
  });

  test('edit leaves alone what it would damage', async () => {
    using given = setup({ latin: Buffer.from([0x61, 0xe9, 0x62]) });
    await assert.rejects(given.run('edit', { file_path: 'latin', old_string: 'a', new_string: 'b' }), /not UTF-8/);
  });
});

describe('glob and grep', () => {
  const files = { 'a.ts': 'alpha\nbeta', 'src/b.ts': 'Beta', 'src/.hidden.ts': 'beta', 'node_modules/x/c.ts': 'beta', '.git/d.ts': 'beta' };

  test('glob finds by pattern, newest first, without dependencies unless they are named', async () => {
    using given = setup(files);
    utimesSync(path.join(given.cwd, 'a.ts'), 1000, 1000);
    const found = (await given.run('glob', { pattern: '**/*.ts' })).split('\n');
    assert.deepEqual(found.toSorted(), ['a.ts', 'src/.hidden.ts', 'src/b.ts']);
    assert.equal(found.at(-1), 'a.ts');
    assert.equal(await given.run('glob', { pattern: '*.ts', path: 'src' }).then((text) => text.split('\n').length), 2);
    assert.equal(await given.run('glob', { pattern: 'node_modules/**/*.ts' }), 'node_modules/x/c.ts');
    assert.equal(await given.run('glob', { pattern: '*.py' }), 'No files match.');
  });

  test('grep finds lines with their numbers', async () => {
    using given = setup({ ...files, 'bin.dat': Buffer.from('beta\0') });
    assert.equal(await given.run('grep', { pattern: '^beta' }), 'a.ts:2:beta\nsrc/.hidden.ts:1:beta');
    assert.equal(await given.run('grep', { pattern: '(?i)^BETA$', path: 'src/b.ts' }), 'src/b.ts:1:Beta');
    assert.equal(await given.run('grep', { pattern: 'gamma' }), 'No lines match.');
    await assert.rejects(given.run('grep', { pattern: '(' }), /no regular expression/);
    await assert.rejects(given.run('grep', { pattern: 'a', path: 'nowhere' }), /does not exist/);
  });

  test('an expression that takes for ever can be stopped', async () => {
    using given = setup({ 'long.txt': `${'a'.repeat(40)}!` });
    const search = given.run('grep', { pattern: '^(a+)+$' });
    setTimeout(() => given.abort.abort(), 100);
    await assert.rejects(search, /stopped/);
  });

  test('patterns mean what a doublestar means', () => {
    const cases: [string, string, boolean][] = [
      ['**/*.ts', 'a.ts', true],
      ['**/*.ts', 'x/y/a.ts', true],
      ['*.ts', 'x/a.ts', false],
      ['**', 'x/y', true],
      ['*.{js,ts}', 'a.js', true],
      ['*.{js,ts}', 'a.py', false],
      ['[a-c]?.txt', 'bz.txt', true],
      ['[!a-c]*', 'abc', false],
      ['*(+).ts', 'a(+).ts', true],
    ];
    for (const [pattern, file, expected] of cases)
      assert.equal(parseGlob('/w', pattern).matcher?.test(file), expected, `${pattern} on ${file}`);
    assert.equal(parseGlob('/w', 'src/../lib/*.ts').root, '/w/lib');
    assert.equal(parseGlob('/w', '/etc/*.conf').root, '/etc');
    assert.equal(parseGlob('/w', 'a.ts').matcher, undefined);
    assert.throws(() => parseGlob('/w', '*{a'), SyntaxError);
  });
});
