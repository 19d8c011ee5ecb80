import type { SessionEvent } from '@cloister/api';
import { Command, Option } from 'commander';
import { toTimestamp } from '../base/clock.ts';
import { loadLogFile } from '../config.ts';
import { connect } from './connection.ts';
import { CommandError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import { followLines, readLines } from './log-lines.ts';
import { emphasize, printable, printLine } from './output.ts';
import { parseCount } from './session-choice.ts';

const LEVELS = { trace: 10, debug: 20, info: 30, warn: 40, error: 50, fatal: 60 } as const;
type Level = keyof typeof LEVELS;

interface LogsOptions {
  readonly follow?: true;
  readonly session?: string;
  readonly level?: Level;
  readonly lines: number;
  readonly json?: true;
}

export function logsCommand(): Command {
  return new Command('logs')
    .option('-f, --follow', 'go on with what comes, through rotations')
    .option('--session <id>', 'of that session alone')
    .addOption(new Option('--level <level>', 'of this level and above').choices(Object.keys(LEVELS)))
    .option('-n, --lines <count>', 'how many of the past, at most 100', parseCount, 50)
    .option('--json', 'print the lines as they are')
    .action(async (options: LogsOptions) => {
      const file = loadLogFile();
      if (file !== undefined) return printLog(file, options);
      if (options.session !== undefined) return printEvents(options.session, options);
      throw new CommandError(EXIT.usage, {
        title: 'There is no log file.',
        detail: 'LOG_FILE is not set, so the server writes its log to stderr alone.',
        fix: 'Set LOG_FILE as the server has it, read the log where its stderr goes (journalctl, docker logs), or name a --session to see its events.',
      });
    });
}

interface LogLine {
  readonly text: string;
  readonly level: number;
  readonly session: string | undefined;
  readonly fields: Readonly<Record<string, unknown>>;
}

function parseLine(text: string): LogLine | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The piece of a line that a full disk left is none.
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const fields: Readonly<Record<string, unknown>> = { ...value };
  const session = fields.session ?? fields.sessionId;
  return { text, level: Number(fields.level), session: typeof session === 'string' ? session : undefined, fields };
}

async function printLog(file: string, { follow, session, level, lines: count, json }: LogsOptions): Promise<void> {
  const isWanted = (line: LogLine) =>
    (session === undefined || line.session === session) && (level === undefined || line.level >= LEVELS[level]);
  const show = (line: LogLine) => printLine(json ? line.text : describe(line));
  const past: LogLine[] = [];
  let isPast = true;
  const showPast = () => {
    isPast = false;
    for (const line of past.splice(0)) show(line);
  };
  const source = follow ? followLines(file, { signal: new AbortController().signal, onCaughtUp: showPast }) : readLines(file);
  try {
    for await (const text of source) {
      const line = parseLine(text);
      if (line === undefined || !isWanted(line)) continue;
      if (!isPast) show(line);
      else if (past.push(line) > count) past.shift();
    }
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'ENOENT')) throw cause;
    const fix = 'Run this where the server runs, with the same LOG_FILE, after it was started.';
    throw new CommandError(EXIT.notFound, { title: 'The log file is not there.', detail: `${file} does not exist.`, fix }, cause);
  }
  showPast();
}

const COLORS = [
  [LEVELS.error, 'red'],
  [LEVELS.warn, 'yellow'],
  [LEVELS.info, 'green'],
  [0, 'dim'],
] as const;
/** Said in another way, or not worth a place on the line. */
const HIDDEN = new Set(['level', 'time', 'pid', 'hostname', 'msg', 'err']);

function describe({ level, fields }: LogLine): string {
  const name = Object.entries(LEVELS).find(([, number]) => number === level)?.[0] ?? String(level);
  const color = COLORS.find(([from]) => level >= from)?.[1] ?? 'dim';
  const time = typeof fields.time === 'number' ? toTimestamp(fields.time) : '';
  const rest = Object.entries(fields).flatMap(([key, value]) => (HIDDEN.has(key) ? [] : [`${key}=${asText(value)}`]));
  const stack = isError(fields.err) ? `\n    ${fields.err.stack.replaceAll('\n', '\n    ')}` : '';
  const told = `${asText(fields.msg)}${rest.length === 0 ? '' : `  ${rest.join(' ')}`}${stack}`;
  return `${time} ${emphasize(color, name.toUpperCase().padEnd(5))} ${printable(told)}`;
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

function isError(value: unknown): value is { readonly stack: string } {
  return typeof value === 'object' && value !== null && 'stack' in value && typeof value.stack === 'string';
}

async function printEvents(sessionId: string, { follow, lines: limit, json }: LogsOptions): Promise<void> {
  const client = connect();
  const show = (event: SessionEvent) => printLine(json ? JSON.stringify(event) : describeEvent(event));
  const { data } = await client.events.list(sessionId, { limit, order: 'desc' });
  const past = data.toReversed();
  for (const event of past) show(event);
  if (!follow) return;
  for await (const item of client.events.stream(sessionId, { after: past.at(-1)?.seq ?? 0 })) if (item.type === 'event') show(item.event);
}

const SHORT = 200;

function describeEvent({ created_at, seq, type, turn_id, ...event }: SessionEvent): string {
  const { id: _id, processed_at: _processed, ...payload } = event;
  const text = JSON.stringify(payload);
  const told = text === '{}' ? '' : `  ${text.length > SHORT ? `${text.slice(0, SHORT)}…` : text}`;
  return `${created_at} ${String(seq).padStart(5)} ${emphasize('bold', type)}${turn_id === null ? '' : ` turn=${turn_id}`}${printable(told)}`;
}
