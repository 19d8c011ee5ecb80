import { readFileSync } from 'node:fs';
import { parseDocument } from '../config.ts';
import { CommandError } from './errors.ts';
import { EXIT } from './exit-codes.ts';

/** What is to be created, from a file of JSON or YAML, or from standard input by `-`. The server checks what is in it. */
export function readDefinition(file: string | undefined): Readonly<Record<string, unknown>> {
  if (file === undefined) return {};
  const parsed = parseDocument(readText(file));
  if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return Object.fromEntries(Object.entries(parsed));
  throw new CommandError(EXIT.usage, { title: `${file} is no map of fields.`, fix: 'Write it as the API takes it, in JSON or YAML.' });
}

function readText(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (cause) {
    throw new CommandError(EXIT.usage, { title: `${file} cannot be read.` }, cause);
  }
}
