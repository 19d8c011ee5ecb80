// Each translated page names in its first line the English page it was made from, and the hash of that page's text then.
// `--check` fails when an English page has changed since. After a translation is brought up to date,
// `npx node scripts/check-translations.ts` writes the new hashes; `--list` says which pages are behind.
import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

const MARK = /^<!-- translation of (\S+), sha256 ([0-9a-f]{16}|none) -->/;

interface Translation {
  readonly file: string;
  readonly text: string;
  /** Of the English page; undefined where the first line does not say. */
  readonly source: string | undefined;
  readonly hash: string | undefined;
}

function translations(root: string): Translation[] {
  const files = globSync(['README.*.md', 'docs/*-*/**/*.md'], { cwd: root }).filter((file) =>
    /^README\.|^docs\/[a-z]{2}-[A-Z]{2}\//.test(file),
  );
  return files.sort().map((file) => {
    const text = readFileSync(path.join(root, file), 'utf8');
    const [, source, hash] = MARK.exec(text) ?? [];
    return { file, text, source, hash };
  });
}

/** Of the text alone: blanks at line ends and empty lines change nothing that would have to be translated. */
function hashOf(root: string, source: string): string {
  const words = readFileSync(path.join(root, source), 'utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  return createHash('sha256').update(words.join('\n')).digest('hex').slice(0, 16);
}

function problemOf(root: string, { file, source, hash }: Translation): string | undefined {
  if (source === undefined) return `${file}: its first line does not name the English page: <!-- translation of <file>, sha256 none -->`;
  if (!existsSync(path.join(root, source))) return `${file}: ${source}, from which it was made, is gone`;
  if (hash !== hashOf(root, source))
    return `${file}: ${source} has changed; bring the translation up to date, then run scripts/check-translations.ts`;
  return undefined;
}

/** What is wrong with the translations of the repository there. */
export function checkTranslations(root: string): string[] {
  return translations(root).flatMap((one) => problemOf(root, one) ?? []);
}

/** Takes each translation for one of its English page as that is now, and answers those that were behind. */
export function renewTranslations(root: string): string[] {
  return translations(root).flatMap(({ file, text, source }) => {
    if (source === undefined || !existsSync(path.join(root, source))) return [];
    const renewed = text.replace(MARK, `<!-- translation of ${source}, sha256 ${hashOf(root, source)} -->`);
    if (renewed === text) return [];
    writeFileSync(path.join(root, file), renewed);
    return [file];
  });
}

function main(root: string): void {
  const { values } = parseArgs({ options: { check: { type: 'boolean', default: false }, list: { type: 'boolean', default: false } } });
  if (!values.check && !values.list)
    for (const file of renewTranslations(root)) console.log(`${file} now counts as the translation of its page as that is.`);
  const wrong = checkTranslations(root);
  for (const line of wrong) console.error(line);
  process.exitCode = wrong.length === 0 || values.list ? 0 : 1;
}

if (import.meta.main) main(path.resolve(import.meta.dirname, '..'));
