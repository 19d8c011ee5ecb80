import { PlatformError } from '../base/errors.ts';

/** What a backup is made of. Bytes that do not match it are not restored. */
export interface Manifest {
  readonly format: typeof FORMAT;
  readonly product: 'cloister';
  /** Of the program that made it. */
  readonly version: string;
  readonly created_at: string;
  readonly database: {
    readonly kind: 'sqlite' | 'postgres';
    readonly schema_version: number;
    readonly installation: string | null;
    readonly tables: readonly { readonly name: string; readonly rows: number }[];
  };
  readonly parts: readonly Part[];
  /** False for a copy of the database alone. */
  readonly has_files: boolean;
  readonly has_keys: boolean;
}

/** One file of the backup. */
export interface Part {
  readonly name: string;
  readonly kind: 'database' | 'files' | 'keys' | 'settings';
  readonly size: number;
  readonly sha256: string;
  /** Of files: the directory below DATA_DIR that they belong into. */
  readonly into?: string;
  readonly entries?: number;
  /** Of files: what is not in it, since it is no file, or cannot be read. */
  readonly omitted?: readonly string[];
  /** Of files: what changed each time while it was read, so that it may hold something of before and of after. */
  readonly unsteady?: readonly string[];
}

export const FORMAT = 1;
export const MANIFEST = 'manifest.json';
export const CHECKSUMS = 'SHA256SUMS';

const PART_NAME = /^[A-Za-z0-9_.%~!'()*-]+(\/[A-Za-z0-9_.%~!'()*-]+)*$/;
const KINDS: readonly unknown[] = ['database', 'files', 'keys', 'settings'] satisfies Part['kind'][];

/** Throws `backup_invalid` for what is not ours, or from a later format. */
export function parseManifest(text: string): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalidBackup('its manifest cannot be read', cause);
  }
  if (!isRecord(value) || value.product !== 'cloister') throw invalidBackup('its manifest is not one of Cloister');
  if (value.format !== FORMAT) throw invalidBackup(`it is of format ${JSON.stringify(value.format)}, and this program reads ${FORMAT}`);
  const { database, parts } = value;
  if (!isRecord(database) || typeof database.schema_version !== 'number' || !Array.isArray(parts) || !parts.every(isPart))
    throw invalidBackup('its manifest is damaged');
  if (database.kind !== 'sqlite' && database.kind !== 'postgres') throw invalidBackup('its database is of an unknown kind');
  return value as unknown as Manifest; // looked at field by field, as far as it is used
}

export function isPartName(name: string): boolean {
  return PART_NAME.test(name) && !name.split('/').some((part) => part === '.' || part === '..');
}

export function invalidBackup(why: string, cause?: unknown): PlatformError {
  return new PlatformError('backup_invalid', { detail: `The backup cannot be used: ${why}.`, cause });
}

function isPart(value: unknown): value is Part {
  if (!isRecord(value)) return false;
  const { name, kind, size, sha256, into } = value;
  const isPlace =
    into === undefined ||
    (typeof into === 'string' && !into.split('/').some((part) => part === '.' || part === '..' || part.includes('\0')));
  return (
    typeof name === 'string' &&
    isPartName(name) &&
    KINDS.includes(kind) &&
    typeof size === 'number' &&
    typeof sha256 === 'string' &&
    isPlace
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
