import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';

export const ROOT = path.resolve(import.meta.dirname, '../../../..');

/** One command of a page as a reader would type it, lines that go on joined. */
export interface Command {
  readonly page: string;
  readonly line: number;
  /** Without what stands behind it as a comment. */
  readonly text: string;
  /** What the page says behind the command that it prints: `# prints skill_…`. */
  readonly prints: string | undefined;
  /** What the page shows of its output below it. */
  readonly shows: Shown | undefined;
}

export interface Shown {
  readonly language: 'text' | 'json';
  readonly body: string;
}

interface Block {
  readonly language: string;
  /** Of the first line inside. */
  readonly line: number;
  readonly lines: readonly string[];
  /** Text between it and the block before. */
  readonly before: string;
}

const SHELLS = ['sh', 'bash', 'console'];
/** What may stand between a command and its output. */
const BETWEEN = /^\s*([^\n]*\b(prints|answers|shows)\b[^\n]*)?\s*$/;
const GOES_ON = /(\\|\||&&)\s*$/;

/** Every page that a reader gets, but those of the problems, which are made of a table and have no commands. */
export function pageNames(): readonly string[] {
  return globSync(['README*.md', 'docs/**/*.md'], { cwd: ROOT }).sort();
}

/** Where a block does not say what is in it: it might be commands that nobody runs. */
export function blocksWithoutLanguage(page: string): readonly string[] {
  return blocksOf(page)
    .filter(({ language }) => language === '')
    .map(({ line }) => `${page}:${line - 1}: say what this block is: sh, console, text, json, ini, …`);
}

export function commandsOf(page: string): readonly Command[] {
  const blocks = blocksOf(page);
  return blocks.flatMap((block, index) => {
    if (!SHELLS.includes(block.language)) return [];
    if (block.language === 'console') return consoleCommands(page, block);
    const commands = shellCommands(page, block);
    const [next, last] = [blocks[index + 1], commands.at(-1)];
    if (next === undefined || last === undefined || !BETWEEN.test(next.before)) return commands;
    if (next.language !== 'text' && next.language !== 'json') return commands;
    return [...commands.slice(0, -1), { ...last, shows: { language: next.language, body: next.lines.join('\n') } }];
  });
}

function blocksOf(page: string): readonly Block[] {
  const found: Block[] = [];
  let open: { language: string; indent: string; line: number; lines: string[]; before: string } | undefined;
  let between: string[] = [];
  for (const [index, text] of readFileSync(path.join(ROOT, page), 'utf8').split('\n').entries()) {
    const fence = /^(\s*)```(\S*)\s*$/.exec(text);
    if (fence === null) (open?.lines ?? between).push(open === undefined ? text : text.replace(new RegExp(`^${open.indent}`), ''));
    else if (open === undefined) {
      open = { indent: fence[1] ?? '', language: fence[2] ?? '', line: index + 2, lines: [], before: between.join('\n') };
      between = [];
    } else {
      found.push(open);
      open = undefined;
    }
  }
  return found;
}

function shellCommands(page: string, { line, lines }: Block): readonly Command[] {
  const found: Command[] = [];
  let text: string[] = [];
  for (const [index, one] of lines.entries()) {
    if (text.length === 0 && /^\s*(#.*)?$/.test(one)) continue;
    text.push(one);
    if (!isWhole(text.join('\n'))) continue;
    found.push(command(page, line + index - text.length + 1, text));
    text = [];
  }
  if (text.length > 0) throw new Error(`${page}:${line}: the last command of this block does not end`);
  return found;
}

/** `$ ` begins a command; what follows is its output. */
function consoleCommands(page: string, { line, lines }: Block): readonly Command[] {
  const found: { command: Command; output: string[] }[] = [];
  for (const [index, one] of lines.entries()) {
    if (one.startsWith('$ ')) found.push({ command: command(page, line + index, [one.slice(2)]), output: [] });
    else found.at(-1)?.output.push(one);
  }
  return found.map(({ command: made, output }) =>
    output.length === 0 ? made : { ...made, shows: { language: 'text', body: output.join('\n') } },
  );
}

function command(page: string, line: number, lines: readonly string[]): Command {
  const whole = lines.join('\n');
  const [, text = whole, comment = ''] = /^(.*?)\s+#\s(.*)$/s.exec(whole) ?? [];
  const prints = /^prints ([a-z]+_…)/.exec(comment)?.[1];
  return { page, line, text: text.trimEnd(), prints, shows: undefined };
}

/** Whether a shell would begin, and not wait for more. */
function isWhole(text: string): boolean {
  let quote = '';
  for (let at = 0; at < text.length; at++) {
    const one = text.charAt(at);
    if (one === '\\' && quote !== "'") at++;
    else if (quote === '' && (one === "'" || one === '"')) quote = one;
    else if (one === quote) quote = '';
    else if (quote === '' && one === '#' && /\s/.test(text.charAt(at - 1))) at = Math.max(at, text.indexOf('\n', at) - 1);
  }
  return quote === '' && !GOES_ON.test(text);
}
