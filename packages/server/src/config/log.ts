import { choice, type Environment, text } from './values.ts';

export interface LogSettings {
  readonly level: string;
  readonly format: 'human' | 'json';
  readonly file: string | undefined;
}

export function logSettings(env: Environment, isTerminal = process.stderr.isTTY): LogSettings {
  return {
    level: choice(env, 'LOG_LEVEL', ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], 'info'),
    format: choice(env, 'LOG_FORMAT', ['human', 'json'], isTerminal ? 'human' : 'json'),
    file: text(env, 'LOG_FILE'),
  };
}
