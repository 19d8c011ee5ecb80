import pino, { type DestinationStream, type Logger } from 'pino';
import pretty from 'pino-pretty';
import { redact, redactFields } from './redaction/redaction.ts';

export type { Logger } from 'pino';

export interface LogOptions {
  readonly level: string;
  readonly format: 'human' | 'json';
  /** Also append JSON lines to this file. */
  readonly file?: string | undefined;
}

/**
 * What is secret never reaches a line: fields by their names at any depth, then the finished line by value and by form.
 * A line is searched once, whatever it goes to.
 */
export function createLogger(options: LogOptions): Logger {
  const settings = {
    level: options.level,
    formatters: { log: (fields: object) => redactFields(fields) as Record<string, unknown> }, // of the same shape as what came in
    serializers: { err: (error: Error) => redactFields({ ...pino.stdSerializers.err(error) }) },
  };
  const screen =
    options.format === 'human'
      ? pretty({ colorize: process.stderr.isTTY, ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss', destination: 2, sync: true })
      : pino.destination({ fd: 2, sync: true });
  const file = options.file === undefined ? [] : [pino.destination({ dest: options.file, mkdir: true, sync: true })];
  return pino(settings, redacting([screen, ...file]));
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
