import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { Command } from 'commander';
import { EXIT } from './exit-codes.ts';
import { createProgram } from './program.ts';

const PAGE = readFileSync(path.resolve(import.meta.dirname, '../../../../docs/cli.md'), 'utf8');

/** `keys create <name> [--role R]` is `keys create`; `show\|start <id>` stands for both; `[list]` may be left out. */
function commandsOf(page: string, known: ReadonlySet<string>): ReadonlySet<string> {
  const [table = ''] = page.split('`agent` and `chat` take');
  const cells = table.split('\n').flatMap((line) => (line.startsWith('| `') ? [line.split(/(?<!\\)\|/)[1] ?? ''] : []));
  const spans = cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, span = '']) => span));
  const found = new Set<string>();
  for (const span of spans) {
    const [first = '', second = '', ...rest] = span.replaceAll(' \\| ', '\\|').split(' ');
    const seconds = second.replace(/[[\]]/g, '').split('\\|');
    const paths = seconds.map((one) => `${first} ${one}`).filter((one) => known.has(one));
    for (const one of paths.length > 0 ? paths : [first]) found.add(one);
    assert.ok(known.has(first) || paths.length > 0, `docs/cli.md tells of a command that is not there: ${span} ${rest.join(' ')}`);
  }
  return found;
}

function leaves(command: Command, before: readonly string[] = []): readonly string[] {
  return command.commands.flatMap((one) => {
    const here = [...before, one.name()];
    return one.commands.length === 0 ? [here.join(' ')] : leaves(one, here);
  });
}

function all(command: Command): readonly Command[] {
  return command.commands.flatMap((one) => [one, ...all(one)]);
}

describe('docs/cli.md', () => {
  it('tells of every command, and of none that is not there', async () => {
    const known = new Set(leaves(await createProgram()));
    const told = commandsOf(PAGE, known);
    assert.deepEqual(
      [...known].filter((one) => !told.has(one)),
      [],
    );
  });

  it('has every exit code', () => {
    for (const code of Object.values(EXIT)) assert.match(PAGE, new RegExp(`^\\| ${code} \\|`, 'm'));
  });

  it('is of commands that say what they do', async () => {
    for (const command of all(await createProgram())) assert.notEqual(command.description(), '', command.name());
  });
});
