import { constants, createReadStream } from 'node:fs';
import { copyFile, open, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { type Clock, toTimestamp } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { newUnique } from '../base/ids.ts';
import { openRoot } from '../workspaces/held-directory.ts';
import { invalidBackup, type Manifest, type Part } from './manifest.ts';
import { type OpenBackup, openBackup } from './open-backup.ts';
import { openPlace } from './restore-place.ts';
import { openKeys } from './sealed-keys.ts';
import { unpackPlace } from './unpack-place.ts';

/** What a restore does with databases. */
export interface RestoreDatabases {
  /** The newest version that this program knows. */
  readonly newestSchema: number;
  /** Throws `store_locked` while a server owns the data directory. */
  requireFree(dataDir: string): void;
  /** Looks whether the copy in the file is whole and of a version that is known. Throws `store_newer`. */
  examine(kind: Manifest['database']['kind'], file: string, drafts: string): Promise<void>;
  /** Fills an empty PostgreSQL database. Throws `store_not_empty`. */
  load(kind: Manifest['database']['kind'], file: string, target: { readonly url: string; readonly drafts: string }): Promise<void>;
}

export interface RestoreRequest {
  readonly from: string;
  readonly stdin: AsyncIterable<Uint8Array>;
  /** The data directory to make. */
  readonly into: string;
  /** PostgreSQL to restore into; undefined for the data directory's own database. */
  readonly databaseUrl: string | undefined;
  /** PostgreSQL that the settings name: for a backup of PostgreSQL. */
  readonly configuredUrl: string | undefined;
  readonly isForced: boolean;
  readonly passphrase: string | undefined;
  readonly withoutKeys: boolean;
}

export interface RestoreDeps {
  readonly databases: RestoreDatabases;
  readonly clock: Clock;
  readonly onProgress: (what: string) => void;
}

export interface RestoreReport {
  readonly manifest: Manifest;
  readonly into: string;
  readonly sessions: number;
  readonly entries: number;
  readonly hasKeys: boolean;
  /** Where the former contents of the directory are. */
  readonly former: string | undefined;
}

/**
 * Restores an installation, whole or not at all: everything is compared with its checksums, then put together in a
 * directory of its own, and that is renamed last. Throws `backup_invalid`, `backup_passphrase_wrong`,
 * `restore_not_empty`, `store_newer`, `store_not_empty` and `store_locked`.
 */
export async function restoreBackup(deps: RestoreDeps, request: RestoreRequest): Promise<RestoreReport> {
  const { clock, databases, onProgress } = deps;
  const into = path.resolve(request.into);
  const unique = newUnique();
  databases.requireFree(into);
  const stamp = toTimestamp(clock.now()).replaceAll(/[-:]|\.\d+/g, '');
  const place = await openPlace(into, { isForced: request.isForced, unique, stamp });
  const drafts = path.join(place.staging, '.parts');
  try {
    const backup = await openBackup({ from: request.from, stdin: request.stdin, drafts, onProgress });
    const url = request.databaseUrl ?? (backup.manifest.database.kind === 'postgres' ? request.configuredUrl : undefined);
    requireUsable(backup.manifest, { ...request, databaseUrl: url }, databases.newestSchema);
    const database = partOf(backup.manifest, 'database');
    onProgress('examining the database');
    const { kind } = backup.manifest.database;
    await databases.examine(kind, backup.fileOf(database), drafts);
    const entries = await placeFiles(backup, place.staging, onProgress);
    const hasKeys = await placeKeys(backup, place.staging, request);
    if (url === undefined) await placeDatabase(backup.fileOf(database), path.join(place.staging, 'cloister.db'));
    else await databases.load(kind, backup.fileOf(database), { url, drafts });
    await rm(drafts, { recursive: true, force: true });
    const former = await place.commit();
    const sessions = backup.manifest.parts.filter(({ into: below }) => below?.startsWith('sessions/ses_')).length;
    return { manifest: backup.manifest, into, sessions, entries, hasKeys, former };
  } catch (error) {
    await place.abort();
    throw error;
  }
}

function requireUsable({ database, has_keys: hasKeys }: Manifest, request: RestoreRequest, newestSchema: number): void {
  if (database.schema_version > newestSchema)
    throw new PlatformError('store_newer', {
      detail: `The backup's database has version ${database.schema_version}; this Cloister knows versions up to ${newestSchema}.`,
    });
  if (database.kind === 'postgres' && request.databaseUrl === undefined)
    throw new PlatformError('config_invalid', {
      detail: 'The backup is of PostgreSQL: name the empty database with --to-database or DATABASE_URL.',
    });
  if (hasKeys && request.passphrase === undefined && !request.withoutKeys)
    throw new PlatformError('config_invalid', {
      detail: 'The backup holds keys: give --passphrase-file, or --without-keys to leave them out.',
    });
}

function partOf(manifest: Manifest, kind: Part['kind']): Part {
  const part = manifest.parts.find((one) => one.kind === kind);
  if (part === undefined) throw invalidBackup(`it has no ${kind}`);
  return part;
}

async function placeDatabase(from: string, to: string): Promise<void> {
  await copyFile(from, to, constants.COPYFILE_FICLONE);
  await using file = await open(to, 'r+');
  await file.chmod(0o600);
  await file.sync();
}

async function placeFiles(backup: OpenBackup, staging: string, onProgress: RestoreDeps['onProgress']): Promise<number> {
  let entries = 0;
  for (const part of backup.manifest.parts) {
    if (part.kind !== 'files') continue;
    onProgress(part.into === '' || part.into === undefined ? 'files' : part.into);
    await using held = await openRoot(staging);
    entries += await unpackPlace(createReadStream(backup.fileOf(part)) as AsyncIterable<Buffer>, held, part.into ?? '');
  }
  return entries;
}

async function placeKeys(backup: OpenBackup, staging: string, { passphrase, withoutKeys }: RestoreRequest): Promise<boolean> {
  if (!backup.manifest.has_keys || withoutKeys || passphrase === undefined) return false;
  const opened = openKeys(await readFile(backup.fileOf(partOf(backup.manifest, 'keys'))), passphrase);
  await using held = await openRoot(staging);
  await unpackPlace(
    (async function* () {
      yield opened;
    })(),
    held,
    '',
  );
  return true;
}
