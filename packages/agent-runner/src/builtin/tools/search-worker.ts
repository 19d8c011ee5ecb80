import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import path from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { z } from 'zod';
import { parseGlob } from './glob-pattern.ts';
import { capOutput } from './output-buffer.ts';
import { walk } from './walk.ts';

const MAX_ENTRIES = 200_000;
const MAX_PATHS = 1000;
const MAX_MATCHES = 1000;
const MAX_LINE = 500;
const MAX_FILE_BYTES = 10 * 1024 * 1024;
const SNIFF_BYTES = 8192;

const queryParser = z.object({ kind: z.enum(['glob', 'grep']), cwd: z.string(), root: z.string(), pattern: z.string() });
export type SearchQuery = z.infer<typeof queryParser>;

export const answerParser = z.object({ ok: z.boolean(), text: z.string() });
type SearchAnswer = z.infer<typeof answerParser>;

/** The worker thread's whole life: one query, one answer. */
export function runSearchWorker(): void {
  parentPort?.postMessage(answer(queryParser.parse(workerData)));
}

function answer(query: SearchQuery): SearchAnswer {
  try {
    return { ok: true, text: query.kind === 'glob' ? glob(query) : grep(query) };
  } catch (error) {
    return { ok: false, text: error instanceof Error ? error.message : String(error) };
  }
}

function glob({ cwd, root: base, pattern }: SearchQuery): string {
  const { root, matcher } = parseGlob(base, pattern);
  if (matcher === undefined) return modifiedAt(root) === undefined ? 'No files match.' : shown(cwd, root);
  const files = walk(root, { asked: pattern, maxEntries: MAX_ENTRIES });
  const found: { readonly file: string; readonly at: number }[] = [];
  let next = files.next();
  for (; next.done !== true; next = files.next()) {
    if (!matcher.test(next.value)) continue;
    const file = path.join(root, next.value);
    found.push({ file, at: modifiedAt(file) ?? 0 });
  }
  if (found.length === 0) return next.value ? `No files match among the first ${MAX_ENTRIES} entries.` : 'No files match.';
  found.sort((a, b) => b.at - a.at);
  const notes = [
    ...(found.length > MAX_PATHS ? [`[the newest ${MAX_PATHS} of ${found.length} files]`] : []),
    ...(next.value ? [`[the search stopped after ${MAX_ENTRIES} entries]`] : []),
  ];
  return capOutput([...found.slice(0, MAX_PATHS).map(({ file }) => shown(cwd, file)), ...notes].join('\n'));
}

function grep({ cwd, root, pattern }: SearchQuery): string {
  const matcher = parseExpression(pattern);
  const stat = statSync(root, { throwIfNoEntry: false });
  if (stat === undefined) throw new Error(`${root} does not exist`);
  const lines: string[] = [];
  const visit = (file: string) => searchFile(file, matcher, (line, text) => lines.push(`${shown(cwd, file)}:${line}:${text}`));
  if (stat.isFile()) visit(root);
  else {
    const files = walk(root, { asked: root, maxEntries: MAX_ENTRIES });
    let next = files.next();
    for (; next.done !== true && lines.length <= MAX_MATCHES; next = files.next()) visit(path.join(root, next.value));
    if (next.value === true) lines.push(`[the search stopped after ${MAX_ENTRIES} entries]`);
  }
  if (lines.length === 0) return 'No lines match.';
  const isCut = lines.length > MAX_MATCHES;
  return capOutput(
    [...lines.slice(0, MAX_MATCHES), ...(isCut ? [`[more than ${MAX_MATCHES} lines match; narrow the search]`] : [])].join('\n'),
  );
}

/** Also takes the `(?i)` that other dialects put in front. */
function parseExpression(pattern: string): RegExp {
  const isInsensitive = pattern.startsWith('(?i)');
  try {
    return new RegExp(isInsensitive ? pattern.slice(4) : pattern, isInsensitive ? 'i' : '');
  } catch (error) {
    throw new Error(`the pattern is no regular expression: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function searchFile(file: string, matcher: RegExp, onMatch: (line: number, text: string) => void): void {
  const text = readIfText(file);
  if (text === undefined) return;
  let matches = 0;
  for (const [index, line] of text.split('\n').entries()) {
    if (!matcher.test(line)) continue;
    onMatch(index + 1, line.length > MAX_LINE ? `${line.slice(0, MAX_LINE)}…` : line);
    if (++matches > MAX_MATCHES) return;
  }
}

/** Undefined for what is not text, is too large, cannot be read or would block. */
function readIfText(file: string): string | undefined {
  try {
    const stat = statSync(file);
    if (!stat.isFile() || stat.size > MAX_FILE_BYTES) return undefined;
    const descriptor = openSync(file, 'r');
    try {
      const start = Buffer.alloc(Math.min(SNIFF_BYTES, stat.size));
      readSync(descriptor, start, 0, start.length, 0);
      return start.includes(0) ? undefined : readFileSync(file, 'utf8');
    } finally {
      closeSync(descriptor);
    }
  } catch {
    // Unreadable files are passed over, as grep -s does.
    return undefined;
  }
}

function modifiedAt(file: string): number | undefined {
  try {
    return statSync(file).mtimeMs;
  } catch {
    // Gone meanwhile, or out of reach.
    return undefined;
  }
}

/** Paths below the workspace as seen from it, others in full. */
function shown(cwd: string, file: string): string {
  const relative = path.relative(cwd, file);
  return relative === '' || relative.startsWith('..') ? file : relative;
}
