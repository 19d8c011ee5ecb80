import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createProgram } from '../packages/server/src/cli/program.ts';
import { type Command, checkDocs } from './check-docs.ts';

describe('the check of the documents', () => {
  let root: string;
  let program: readonly Command[];
  before(async () => {
    root = mkdtempSync(path.join(tmpdir(), 'cloister-docs-'));
    execFileSync('git', ['init', '--quiet'], { cwd: root });
    program = (await createProgram()).commands;
    mkdirSync(path.join(root, 'docs'));
    write('docs/two.md', '# Two words, and more\n\n## Again\n\n## Again\n');
    write('compose.yml', 'environment:\n  - CLOISTER_OF_COMPOSE\n');
  });
  after(() => rmSync(root, { recursive: true, force: true }));

  const write = (file: string, text: string) => writeFileSync(path.join(root, file), text);
  const wrongIn = (text: string) => {
    write('docs/one.md', text);
    return checkDocs(root, program);
  };

  it('finds nothing in pages that are right', () => {
    const links =
      '[two](two.md) [words](two.md#two-words-and-more) [again](two.md#again-1) [web](https://example.org/none) [up](../compose.yml)';
    const code = '```\ncloister sessions show <id> --json\n[none](none.md)\nCLOISTER_RUNTIME=fake CLOISTER_OF_COMPOSE=1 npm start\n```\n';
    assert.deepEqual(wrongIn(`# One\n\n${links} \`cloister agent -m "hello"\` [here](#one)\n\n${code}`), []);
  });

  it('finds links that lead to no file and to no heading, with their places', () => {
    assert.deepEqual(wrongIn('# One\n[a](none.md)\n[b](two.md#none) and [c](#none)\n'), [
      'docs/one.md:2: none.md leads to no file',
      'docs/one.md:3: two.md#none leads to no heading',
      'docs/one.md:3: #none leads to no heading',
    ]);
  });

  it('finds commands, commands of commands and options that there are not', () => {
    const wrong = wrongIn('Say `cloister talk`.\n```\ncloister sessions burn\nnpx cloister sessions list --loud | head\n```\n');
    assert.deepEqual(wrong, [
      'docs/one.md:1: cloister talk: there is no command talk',
      'docs/one.md:3: cloister sessions burn: sessions has no command burn',
      'docs/one.md:4: cloister sessions list --loud: it has no option --loud',
    ]);
  });

  it('finds settings that nothing reads', () => {
    assert.deepEqual(wrongIn('Set `CLOISTER_MODLE`.\n'), ['docs/one.md:1: CLOISTER_MODLE: nothing reads a setting of this name']);
  });
});
