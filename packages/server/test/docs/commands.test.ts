// Every command that README.md and docs/ show is run here as it stands, or by another test that is named in elsewhere.ts,
// or cannot be run by any test, for a reason that is there too. A command that is none of these fails.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { engineMissing } from '../support/engine.ts';
import { NOT_RUN, RUN_ELSEWHERE } from './elsewhere.ts';
import { PAGES } from './given.ts';
import { blocksWithoutLanguage, type Command, commandsOf, pageNames, ROOT } from './pages.ts';
import { openStage, type Stage } from './stage.ts';

const TRANSLATION = /^<!-- translation of (\S+),/;

const elsewhere = ({ text }: Command) => RUN_ELSEWHERE.find(({ command }) => command.test(text));
const notRun = ({ text }: Command) => NOT_RUN.find(({ command }) => command.test(text));
/** What is typed here without a thought for the host: it works in the reader's folder, or asks our own servers. */
const HARMLESS =
  /^(?:[A-Z_]+=\S+ +)*(?:[A-Z_]+=\$\()?(?:(?:npx )?cloister|npm start$|curl|cat|cp|echo|export|node -e|printf|sqlite3|cd|cmp|install|again)\b|^[A-Z_]+=[^\s$]*$|^[a-z]+\(\) \{/;
const REACHES_OUT = /\b(docker|docker-compose|podman|sudo|systemctl|kubectl)\b(?! npm start)/;
const isRunHere = (command: Command) => elsewhere(command) === undefined && notRun(command) === undefined;

/** A translation has the commands of its English page, which are run there. */
function originalOf(page: string): string | undefined {
  return TRANSLATION.exec(readFileSync(path.join(ROOT, page), 'utf8'))?.[1];
}

const pages = pageNames().map((name) => ({ name, commands: commandsOf(name), original: originalOf(name) }));
const originals = pages.filter(({ original }) => original === undefined);
const all = originals.flatMap(({ commands }) => commands);

describe('commands in the documents', () => {
  it('are told apart from output and settings', () => {
    assert.deepEqual(
      pages.flatMap(({ name }) => blocksWithoutLanguage(name)),
      [],
    );
  });

  it('are the same in a translation', () => {
    for (const { name, commands, original } of pages) {
      if (original === undefined) continue;
      const known = new Set(commandsOf(original).map(({ text }) => text));
      const strange = commands.filter(({ text }) => !known.has(text)).map(({ line, text }) => `${name}:${line}: ${text}`);
      assert.deepEqual(strange, [], `not in ${original}`);
    }
  });

  it('that are run elsewhere are run there', () => {
    for (const { command, file, says } of RUN_ELSEWHERE) {
      const found = all.map(({ text }) => command.exec(text)).filter((match) => match !== null);
      assert.notEqual(found.length, 0, `no page has ${command} any more: take it out of elsewhere.ts`);
      assert.ok(existsSync(path.join(ROOT, file)), `${file}, which is to run ${command}, is gone`);
      const source = readFileSync(path.join(ROOT, file), 'utf8');
      for (const match of found) {
        const needle = says.replace('$1', match[1] ?? '');
        assert.ok(source.includes(needle), `${file} does not say ${needle}: what runs ${match[0]} now?`);
      }
    }
  });

  it('are known, each of them', () => {
    const strange = all
      .filter((one) => isRunHere(one) && (!HARMLESS.test(one.text) || REACHES_OUT.test(one.text)))
      .map(({ page, line, text }) => `${page}:${line}: ${text}`);
    assert.deepEqual(strange, [], 'say in elsewhere.ts which test runs it, or why none can; or let HARMLESS take it');
  });

  it('that no test can run are still there', () => {
    for (const { command } of NOT_RUN)
      assert.ok(
        all.some(({ text }) => command.test(text)),
        `no page has ${command} any more: take it out of elsewhere.ts`,
      );
  });

  it('belong to pages that are there', () => {
    const known = originals.map(({ name }) => name);
    assert.deepEqual(
      Object.keys(PAGES).filter((name) => !known.includes(name)),
      [],
    );
  });
});

describe('what the documents tell a reader to type', { timeout: 600_000, concurrency: 2 }, () => {
  let missing: string | false = false;
  let stage: Stage;

  before(async () => {
    missing = await engineMissing();
    stage = await openStage(missing === false);
  });
  after(() => stage?.[Symbol.asyncDispose]());

  for (const { name, commands } of originals) {
    const own = commands.filter(isRunHere);
    if (own.length === 0) continue;
    it(`${name}: ${own.length} of ${commands.length} commands`, async (t) => {
      if (PAGES[name]?.runtime === 'docker' && missing !== false) return t.skip(missing);
      await stage.play(name, own);
    });
  }

  it('is counted', (t) => {
    const here = all.filter(isRunHere).length;
    const there = all.filter((one) => elsewhere(one) !== undefined).length;
    t.diagnostic(`${all.length} commands: ${here} run here, ${there} by other tests, ${all.length - here - there} by none`);
    assert.ok(here > all.length / 2);
  });
});
