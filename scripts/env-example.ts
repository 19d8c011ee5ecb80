// Writes .env.example from the tables of docs/configuration.md, and holds these tables against the schema of the
// settings, which is the code that reads them. `--check` writes nothing and fails when a setting is undocumented,
// documented but not read, documented with another default, or the file stale.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { VARIABLES_OF_AGENT_HTTP } from '../packages/server/src/config/agent-http.ts';
import { ALIASES, UNUSED } from '../packages/server/src/config/aliases.ts';
import { WITHOUT_EFFECT } from '../packages/server/src/config/noclaw.ts';
import { knownSettings } from '../packages/server/src/config.ts';

const ROOT = path.resolve(import.meta.dirname, '..');
const FILE = path.join(ROOT, '.env.example');
/** In this order; a setting that occurs twice is told of where it comes first. */
const PAGES = ['docs/container.md', 'docs/configuration.md'];
const LAST = 'The socket broker';
/** Names that are taken or explained, and not for the file. */
const THEIRS = 'Names of other systems';

interface Setting {
  readonly name: string;
  readonly isSecret: boolean;
  readonly default: string;
  readonly text: string;
}

interface Section {
  readonly title: string;
  readonly settings: readonly Setting[];
}

/** Set by Compose or by the system; nobody writes them into a file. */
const NOT_FOR_THE_FILE = new Set([
  'XDG_RUNTIME_DIR',
  'CLOISTER_URL',
  'HOST',
  'PORT',
  'DATA_DIR',
  'HOST_DATA_DIR',
  'DOCKER_HOST',
  'NO_COLOR',
]);

function sectionsOf(page: string): Section[] {
  const parts = readFileSync(path.join(ROOT, page), 'utf8').split(/^## /m).slice(1);
  return parts.flatMap((part) => {
    const [title = '', ...lines] = part.split('\n');
    const settings = lines.flatMap(settingsOf);
    return settings.length === 0 ? [] : [{ title, settings }];
  });
}

/** A row of a table whose first cell names settings: `A`, or `A`, `B` with what holds for both. */
function settingsOf(line: string): Setting[] {
  const [, first = '', fallback = '', text = ''] = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
  const names = [...first.matchAll(/`([A-Z][A-Z0-9_]+)`/g)].map(([, name = '']) => name);
  const defaults = fallback.split(', ');
  return names.map((name, index) => ({
    name,
    isSecret: first.includes('*secret*'),
    default: (names.length > 1 ? defaults[index] : fallback) ?? '',
    text,
  }));
}

function plain(markdown: string): string {
  return markdown
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replaceAll('`', '')
    .replaceAll('*', '')
    .replaceAll('\\|', '|');
}

function wrapped(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < 110) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.map((line) => `# ${line}`.trimEnd());
}

function example(sections: readonly Section[]): string {
  const head = [
    '# Settings of Cloister. Copy this file to .env: Compose and docker-start.sh read it; `npm start` reads the environment.',
    '# What is commented out has the default shown. Each secret can come from a file instead: NAME_FILE=/path.',
  ];
  const told = new Set(NOT_FOR_THE_FILE);
  const body = sections.flatMap(({ title, settings }) => {
    const rows = settings.filter(({ name }) => !told.has(name));
    for (const { name } of rows) told.add(name);
    return rows.length === 0
      ? []
      : [`\n\n# ---- ${plain(title)} ${'-'.repeat(Math.max(4, 100 - plain(title).length))}`, ...rows.map(entry)];
  });
  return `${head.join('\n')}${body.join('\n')}\n`;
}

function entry({ name, default: fallback, text, isSecret }: Setting): string {
  const literal = /^`([^`]*)`$/.exec(fallback)?.[1];
  const told =
    literal === undefined && fallback !== '' && fallback !== 'none' ? `${plain(text)} Default: ${plain(fallback)}.` : plain(text);
  return `\n${wrapped(told).join('\n')}\n#${name}=${isSecret ? '' : (literal ?? '')}`;
}

/** Read by libraries for themselves. */
const OF_LIBRARIES = ['NO_COLOR'];
const OF_OTHERS = [...Object.keys(ALIASES), ...Object.keys(UNUSED), ...Object.keys(WITHOUT_EFFECT), ...VARIABLES_OF_AGENT_HTTP];

/** What is wrong with the documents, a line each. */
function problems(sections: readonly Section[], compose: ReadonlySet<string>): string[] {
  const schema = knownSettings();
  const told = (isTheirs: boolean) =>
    new Map(
      sections.filter(({ title }) => (title === THEIRS) === isTheirs).flatMap(({ settings }) => settings.map((one) => [one.name, one])),
    );
  const documented = told(false);
  const theirs = told(true);
  const read = new Set([...schema.keys(), ...OF_LIBRARIES]);
  const pages = PAGES.join(' or ');
  const differing = [...schema.values()].flatMap(({ name, fallback, isSecret }) => {
    const row = documented.get(name);
    if (row === undefined) return [`${name} is read, and in no table of ${pages}`];
    const literal = /^`([^`]*)`$/.exec(row.default)?.[1];
    const isOther = fallback !== undefined && literal !== undefined && literal !== fallback;
    return [
      ...(row.isSecret === isSecret ? [] : [`${name} is ${isSecret ? '' : 'no '}*secret*, and its row says otherwise`]),
      ...(isOther ? [`${name} is ${fallback} by default, and its row says ${literal}`] : []),
    ];
  });
  return [
    ...differing,
    ...[...documented.keys()]
      .filter((name) => !read.has(name) && !compose.has(name))
      .map((name) => `${name} is documented, and nothing reads it`),
    ...OF_OTHERS.filter((name) => !theirs.has(name)).map((name) => `${name} is taken or explained, and not in "${THEIRS}"`),
    ...[...theirs.keys()].filter((name) => !OF_OTHERS.includes(name)).map((name) => `${name} is in "${THEIRS}", and nothing knows it`),
  ];
}

/** Variables that the compose files put into place themselves. */
function composeSettings(): ReadonlySet<string> {
  const files = ['', '.postgres', '.bind-mounts', '.secrets'].map((part) =>
    readFileSync(path.join(ROOT, `docker-compose${part}.yml`), 'utf8'),
  );
  return new Set(files.flatMap((text) => [...text.matchAll(/\$\{([A-Z0-9_]+)/g)].map(([, name = '']) => name)));
}

function main(): void {
  const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
  const all = PAGES.flatMap(sectionsOf);
  const wrong = problems(all, composeSettings());
  const own = all.filter(({ title }) => title !== THEIRS);
  const text = example([...own.filter(({ title }) => title !== LAST), ...own.filter(({ title }) => title === LAST)]);
  const isFresh = existsSync(FILE) && readFileSync(FILE, 'utf8') === text;
  if (values.check && !isFresh) wrong.push('.env.example is not what scripts/env-example.ts writes');
  if (!values.check && !isFresh) writeFileSync(FILE, text);
  for (const line of wrong) console.error(line);
  process.exitCode = wrong.length === 0 ? 0 : 1;
}

if (import.meta.main) main();
