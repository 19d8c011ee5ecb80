// Holds the documents against the repository: every relative link leads to a file, every anchor to a heading, every
// `cloister …` in code is a command of the program, with options that it has, and every CLOISTER_… is a setting that
// something reads. `--check` is what it always does.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { createProgram } from '../packages/server/src/cli/program.ts';
import { knownSettings } from '../packages/server/src/config.ts';

/** Texts in code that begin as a command does, and are none. */
const NO_COMMANDS = ['cloister callback'];

export type Command = Pick<Awaited<ReturnType<typeof createProgram>>, 'commands' | 'options' | 'name' | 'aliases'>;

interface Page {
  readonly file: string;
  readonly lines: readonly { readonly number: number; readonly text: string; readonly isCode: boolean }[];
}

/** What is in the repository, and what is about to be. */
function filesOf(root: string): string[] {
  const list = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--deduplicate'], { cwd: root });
  return list
    .toString('utf8')
    .split('\0')
    .filter((file) => file !== '' && existsSync(path.join(root, file)));
}

function linesOf(text: string): Page['lines'] {
  let isCode = false;
  return text.split('\n').map((line, index) => {
    const isFence = /^\s*(```|~~~)/.test(line);
    if (isFence) isCode = !isCode;
    return { number: index + 1, text: isFence ? '' : line, isCode };
  });
}

// Links.

/** As GitHub makes anchors: lower case, without punctuation, hyphens for blanks, numbers for repeats. */
function anchorsOf({ lines }: Page): ReadonlySet<string> {
  const seen = new Map<string, number>();
  const anchors = new Set<string>();
  for (const { text, isCode } of lines) {
    const heading = isCode ? undefined : /^#{1,6}\s+(.*?)\s*#*$/.exec(text)?.[1];
    const named = isCode ? undefined : /<a (?:id|name)="([^"]+)"/.exec(text)?.[1];
    if (named !== undefined) anchors.add(named);
    if (heading === undefined) continue;
    const slug = heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M}\s_-]/gu, '')
      .replace(/\s/g, '-');
    const times = seen.get(slug) ?? 0;
    seen.set(slug, times + 1);
    anchors.add(times === 0 ? slug : `${slug}-${times}`);
  }
  return anchors;
}

function brokenLinks(root: string, all: readonly Page[]): string[] {
  const anchors = new Map(all.map((page) => [page.file, anchorsOf(page)]));
  return all.flatMap(({ file, lines }) =>
    lines.flatMap(({ number, text, isCode }) => {
      if (isCode) return [];
      const links = [...text.replace(/`[^`]*`/g, '').matchAll(/\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)/g)].map(([, to = '']) => to);
      return links
        .filter((to) => !/^[a-z][a-z+.-]*:/i.test(to))
        .flatMap((to) => {
          const why = linkProblem(root, { from: file, to, anchors });
          return why === undefined ? [] : [`${file}:${number}: ${to} ${why}`];
        });
    }),
  );
}

interface Link {
  readonly from: string;
  readonly to: string;
  readonly anchors: ReadonlyMap<string, ReadonlySet<string>>;
}

function linkProblem(root: string, { from, to, anchors }: Link): string | undefined {
  const [place = '', anchor] = to.split('#');
  const target = place === '' ? from : path.normalize(path.join(path.dirname(from), decodeURIComponent(place)));
  if (!existsSync(path.join(root, target))) return 'leads to no file';
  if (anchor === undefined || statSync(path.join(root, target)).isDirectory()) return undefined;
  return anchors.get(target)?.has(decodeURIComponent(anchor)) === false ? 'leads to no heading' : undefined;
}

// Commands.

/** Each piece of code in which a shell would see a command begin. */
function* code({ file, lines }: Page): Generator<{ readonly at: string; readonly text: string }> {
  for (const { number, text, isCode } of lines) {
    const pieces = isCode ? [text] : [...text.matchAll(/`([^`]+)`/g)].map(([, piece = '']) => piece);
    for (const piece of pieces) yield { at: `${file}:${number}`, text: piece };
  }
}

function unknownCommands(all: readonly Page[], program: readonly Command[]): string[] {
  const wrong: string[] = [];
  for (const page of all) {
    // It tells of commands that there were.
    if (page.file === 'CHANGELOG.md') continue;
    for (const { at, text } of code(page)) {
      // The container's own name, or the service's, stands before the command that is run in it.
      const bare = text.replace(/\bexec(?: -\S+)* cloister /g, 'exec ');
      for (const [whole, called = ''] of bare.matchAll(/(?<![\w./:@=-])cloister ([a-z][^|;&#()>]*)/g)) {
        if (NO_COMMANDS.some((one) => whole.startsWith(one)) || /exec cat /.test(bare)) continue;
        const why = commandProblem(called, program);
        if (why !== undefined) wrong.push(`${at}: cloister ${called.trim()}: ${why}`);
      }
    }
  }
  return wrong;
}

const named = (list: readonly Command[], name: string) => list.find((one) => one.name() === name || one.aliases().includes(name));

function commandProblem(called: string, program: readonly Command[]): string | undefined {
  // Behind the double dash it is another program's; behind a gap there are words about it.
  const [ours = ''] = called.split(/ -- | {2,}/);
  const [first = '', second = ''] = ours
    .trim()
    .split(/\s+/)
    .map((word) => word.replace(/[.,:`'")]+$/, ''));
  const command = named(program, first);
  if (command === undefined) return first === 'help' ? undefined : `there is no command ${first}`;
  let last = command;
  if (command.commands.length > 0 && /^[a-z][a-z-]*$/.test(second)) {
    const inner = named(command.commands, second);
    if (inner === undefined) return `${first} has no command ${second}`;
    last = inner;
  }
  // A group without a word is its list.
  const known = [command, last, ...(last === command ? command.commands : [])].flatMap((one) => one.options.map(({ long }) => long));
  const strange = [...ours.matchAll(/(?<=[\s[(])--[a-z][a-z-]*/g)]
    .map(([option]) => option)
    .filter((option) => !known.includes(option) && option !== '--help');
  return strange.length === 0 ? undefined : `it has no option ${strange.join(', ')}`;
}

// Settings.

const SETTING = /\bCLOISTER_[A-Z0-9_]*[A-Z0-9]\b/g;

/** Of the program, of the files that deploy it, and of its tests. */
function settingsOf(root: string, files: readonly string[]): ReadonlySet<string> {
  const readers = files.filter((file) => !/\.(md|test\.ts)$/.test(file) && statSync(path.join(root, file)).isFile());
  const read = readers.flatMap((file) => readFileSync(path.join(root, file), 'utf8').match(SETTING) ?? []);
  return new Set(read.concat([...knownSettings().keys()].flatMap((name) => [name, `${name}_FILE`])));
}

function unknownSettings(all: readonly Page[], settings: ReadonlySet<string>): string[] {
  return all.flatMap(({ file, lines }) =>
    // It tells of settings that there were.
    file === 'CHANGELOG.md'
      ? []
      : lines.flatMap(({ number, text }) =>
          (text.match(SETTING) ?? [])
            .filter((name) => !settings.has(name))
            .map((name) => `${file}:${number}: ${name}: nothing reads a setting of this name`),
        ),
  );
}

/** What is wrong in the documents of the repository there, each with its place. */
export function checkDocs(root: string, program: readonly Command[]): string[] {
  const files = filesOf(root);
  const pages = files
    .filter((file) => file.endsWith('.md'))
    .map((file) => ({ file, lines: linesOf(readFileSync(path.join(root, file), 'utf8')) }));
  return [...brokenLinks(root, pages), ...unknownCommands(pages, program), ...unknownSettings(pages, settingsOf(root, files))];
}

if (import.meta.main) {
  const wrong = checkDocs(path.resolve(import.meta.dirname, '..'), (await createProgram()).commands);
  for (const line of wrong) console.error(line);
  process.exitCode = wrong.length === 0 ? 0 : 1;
}
