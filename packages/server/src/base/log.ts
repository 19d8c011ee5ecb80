import pino, { type Logger } from 'pino';
import pretty from 'pino-pretty';

export type { Logger } from 'pino';

export interface LogOptions {
  readonly level: string;
  readonly format: 'human' | 'json';
  /** Also append JSON lines to this file. */
  readonly file?: string | undefined;
}

/** Keys whose values never reach a log line, at any depth that our own code logs. */
const SECRET_KEYS = ['authorization', 'x-api-key', 'apiKey', 'api_key', 'password', 'secret', 'token'];

export function createLogger(options: LogOptions): Logger {
  const paths = SECRET_KEYS.flatMap((key) => [`["${key}"]`, `*["${key}"]`, `*.*["${key}"]`]);
  const settings = { level: options.level, redact: { paths, censor: '[redacted]' } };
  const screen =
    options.format === 'human'
      ? pretty({ colorize: process.stderr.isTTY, ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss', destination: 2, sync: true })
      : pino.destination({ fd: 2, sync: true });
  if (options.file === undefined) return pino(settings, screen);
  const file = pino.destination({ dest: options.file, mkdir: true, sync: true });
  return pino(
    settings,
    pino.multistream([
      { stream: screen, level: 'trace' },
      { stream: file, level: 'trace' },
    ]),
  );
}

export const silentLogger: Logger = pino({ level: 'silent' });
