import { CommanderError } from 'commander';
import { EXIT } from './exit-codes.ts';

/** Of a wrong command line, or the help that was asked for, which Commander has printed itself; else undefined. */
export function exitCodeOfUsage(error: unknown): number | undefined {
  if (!(error instanceof CommanderError)) return undefined;
  return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
}
