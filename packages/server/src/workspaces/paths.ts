import { PlatformError } from '../base/errors.ts';

/** One component of a path: text where people name it, bytes where it was found on disk. */
export type Name = string | Buffer;

const MAX_NAME_BYTES = 255;
const MAX_PATH_BYTES = 4096;
/** Levels below the workspace that a path may name. */
const MAX_PATH_DEPTH = 64;

/**
 * The components of a path below the workspace, as `src/main.ts`; none for the workspace itself (``, `.` or `/`).
 * Throws `path_invalid` for whatever could mean another place or could not be shown: `..`, absolute paths, empty
 * components, control characters and marks that turn the direction of text, halves of characters, too much of it.
 */
export function parsePath(text: string, pointer = 'path'): readonly string[] {
  if (text === '' || text === '.' || text === '/') return [];
  const refuse = (why: string) => new PlatformError('path_invalid', { detail: `The path ${why}.`, fields: [{ pointer, message: why }] });
  if (text.startsWith('/')) throw refuse('begins with a slash; paths are relative to the workspace');
  if (Buffer.byteLength(text) > MAX_PATH_BYTES) throw refuse(`is longer than ${MAX_PATH_BYTES} bytes`);
  const names = (text.endsWith('/') ? text.slice(0, -1) : text).split('/');
  if (names.length > MAX_PATH_DEPTH) throw refuse(`has more than ${MAX_PATH_DEPTH} levels`);
  for (const name of names) {
    const why = faultOf(name);
    if (why !== undefined) throw refuse(why);
  }
  return names;
}

/** The text of a name found on disk, when it is one that `parsePath` takes. */
export function nameText(name: Buffer): string | undefined {
  const text = name.toString('utf8');
  return faultOf(text) === undefined && Buffer.from(text).equals(name) ? text : undefined;
}

function faultOf(name: string): string | undefined {
  if (name === '') return 'has an empty component';
  if (name === '.' || name === '..') return `has a component "${name}"`;
  if (!name.isWellFormed()) return 'holds half of a character';
  if (/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u.test(name)) return 'holds a control character';
  if (name.includes('/')) return 'holds a slash in a name';
  return Buffer.byteLength(name) > MAX_NAME_BYTES ? `has a component longer than ${MAX_NAME_BYTES} bytes` : undefined;
}
