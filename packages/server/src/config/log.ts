import { choice, type Environment, integer, limit, text } from './values.ts';

export interface LogSettings {
  readonly level: string;
  readonly format: 'human' | 'json';
  readonly file: string | undefined;
  /** When the file is put aside; undefined for never. */
  readonly fileMaxBytes: number | undefined;
  readonly fileKeep: number;
}

export function logSettings(env: Environment, isTerminal = process.stderr.isTTY): LogSettings {
  return {
    level: choice(env, 'LOG_LEVEL', ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], 'info'),
    format: choice(env, 'LOG_FORMAT', ['human', 'json'], isTerminal ? 'human' : 'json'),
    file: text(env, 'LOG_FILE'),
    fileMaxBytes: limit(env, 'LOG_FILE_MAX_BYTES', { max: 1_099_511_627_776, fallback: 10_485_760 }),
    fileKeep: integer(env, 'LOG_FILE_KEEP', 3, { min: 0, max: 1000 }),
  };
}
