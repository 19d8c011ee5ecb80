// Writes .env.example from the tables of docs/configuration.md, and holds these tables against the settings that the
// program really reads. `--check` writes nothing and fails when a setting is undocumented, documented but not read, or
// the file stale.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { loadBrokerConfig, loadClientConfig, loadConfig } from '../packages/server/src/config.ts';

const ROOT = path.resolve(import.meta.dirname, '..');
const FILE = path.join(ROOT, '.env.example');
/** In this order; a setting that occurs twice is told of where it comes first. */
const PAGES = ['docs/container.md', 'docs/configuration.md'];
const LAST = 'The socket broker';

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

/** Every variable that the program asks its environment for. */
function settingsRead(): ReadonlySet<string> {
  // Read by libraries for themselves.
  const names = new Set(['NO_COLOR']);
  // Some settings are read only when others are set, so each way is gone once.
  const keys = { GEMINI_API_KEY: 'k', DEEPSEEK_API_KEY: 'k', XAI_API_KEY: 'k' };
  for (const given of [{}, { DATABASE_URL: 'postgres://h/d' }, { DOCKER_TLS_VERIFY: '1' }, keys]) {
    const env = new Proxy<Record<string, string>>(given, {
      get: (target, name) => {
        if (typeof name !== 'string') return undefined;
        names.add(name);
        return target[name];
      },
    });
    for (const load of [loadConfig, loadBrokerConfig, loadClientConfig]) load(env);
  }
  return new Set([...names].filter((name) => !name.endsWith('_FILE') || !names.has(name.slice(0, -'_FILE'.length))));
}

/** What is wrong with the documents, a line each. */
function problems(sections: readonly Section[], compose: ReadonlySet<string>): string[] {
  const read = settingsRead();
  const documented = new Set(sections.flatMap(({ settings }) => settings.map(({ name }) => name)));
  const undocumented = [...read].filter((name) => !documented.has(name));
  const unread = [...documented].filter((name) => !read.has(name) && !compose.has(name));
  return [
    ...undocumented.map((name) => `${name} is read, and in no table of ${PAGES.join(' or ')}`),
    ...unread.map((name) => `${name} is documented, and nothing reads it`),
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
  const sections = [...all.filter(({ title }) => title !== LAST), ...all.filter(({ title }) => title === LAST)];
  const wrong = problems(sections, composeSettings());
  const text = example(sections);
  const isFresh = existsSync(FILE) && readFileSync(FILE, 'utf8') === text;
  if (values.check && !isFresh) wrong.push('.env.example is not what scripts/env-example.ts writes');
  if (!values.check && !isFresh) writeFileSync(FILE, text);
  for (const line of wrong) console.error(line);
  process.exitCode = wrong.length === 0 ? 0 : 1;
}

if (import.meta.main) main();
