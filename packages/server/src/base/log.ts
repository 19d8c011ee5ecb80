import pino, { type DestinationStream, type Logger } from 'pino';
import pretty from 'pino-pretty';
import { openLogFile } from './log-file.ts';
import { redact, redactFields } from './redaction/redaction.ts';
import { workFields } from './work-context.ts';

export type { Logger } from 'pino';

export interface LogOptions {
  readonly level: string;
  readonly format: 'human' | 'json';
  /** Also append JSON lines to this file. */
  readonly file?: string | undefined;
  /** A file that would be larger is put aside as `.1`; undefined for no bound. */
  readonly fileMaxBytes?: number | undefined;
  /** How many such files are kept. */
  readonly fileKeep?: number | undefined;
}

/**
 * What is secret never reaches a line: fields by their names at any depth, then the finished line by value and by form.
 * A line is searched once, whatever it goes to. It says of which request, session and turn it is by itself.
 */
export function createLogger(options: LogOptions): Logger {
  const settings = {
    level: options.level,
    mixin: workFields,
    formatters: { log: (fields: object) => redactFields(fields) as Record<string, unknown> }, // of the same shape as what came in
    serializers: { err: (error: Error) => redactFields({ ...pino.stdSerializers.err(error) }) },
  };
  const screen =
    options.format === 'human'
      ? pretty({ colorize: process.stderr.isTTY, ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss', destination: 2, sync: true })
      : pino.destination({ fd: 2, sync: true });
  const onFailure = (error: unknown) => {
    const told = { level: 40, time: Date.now(), file: options.file, err: pino.stdSerializers.err(asError(error)) };
    screen.write(`${JSON.stringify({ ...told, msg: 'the log file cannot be written; lines go to stderr alone' })}\n`);
  };
  const { fileMaxBytes: maxBytes, fileKeep: keep } = options;
  const file = options.file === undefined ? [] : [openLogFile({ file: options.file, maxBytes, keep, onFailure })];
  return pino(settings, redacting([screen, ...file]));
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

function redacting(targets: readonly DestinationStream[]): DestinationStream {
  return {
    write(line) {
      const clean = redact(line);
      for (const target of targets) target.write(clean);
    },
  };
}

export const silentLogger: Logger = pino({ level: 'silent' });
