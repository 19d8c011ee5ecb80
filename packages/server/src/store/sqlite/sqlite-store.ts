import { closeSync, existsSync, openSync } from 'node:fs';
import { mkdir, realpath } from 'node:fs/promises';
import path from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { isPlatformError, PlatformError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import { createSqlStore } from '../sql/sql-store.ts';
import type { Store } from '../store.ts';
import { keepBefore } from './before-migration.ts';
import { startCheckpointer } from './checkpointer.ts';
import { type Connection, openReader, openWriter } from './connection.ts';
import { createEngine } from './engine.ts';
import { toStoreError } from './failures.ts';
import { type FileSystemType, linuxFileSystemType, requireLocalFileSystem } from './file-system.ts';
import { migrate } from './migrate.ts';
import { MIGRATIONS } from './migrations/all.ts';
import { acquireOwnerLock, type OwnerLock } from './owner-lock.ts';

export interface SqliteStoreOptions {
  /** Path of the database, made when it is missing; `:memory:` for one that ends with the process. */
  readonly file: string;
  /** The id that a new database is given; one of its own unless told. */
  readonly installation?: string | undefined;
  /** Said, with the process id, to those who find the database locked. */
  readonly nodeId?: string | undefined;
  readonly clock: Clock;
  /** Whether a database with data is copied into `backups/` beside it before its schema changes; true unless told. */
  readonly keepsBefore?: boolean | undefined;
  /** How the kind of file system is found out; Linux's way unless told. */
  readonly fileSystemType?: FileSystemType | undefined;
}

const MEMORY = ':memory:';
const FIND_INSTALLATION = 'SELECT id FROM installation';
const INSERT_INSTALLATION = 'INSERT INTO installation (id, created_at) VALUES (:id, :now)';

/**
 * Opens the store on SQLite and brings its schema up to date. One process owns a file at a time. Throws
 * `store_locked`, `store_filesystem_unsafe`, `store_newer`, `store_schema_changed`, `disk_full` and
 * `store_unavailable`, each before anything was changed.
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  if (options.file === MEMORY) return assemble(openMemory(), options);
  const file = await resolveFile(options);
  const lock = acquireOwnerLock(file, { pid: process.pid, nodeId: options.nodeId ?? null, now: options.clock.now() });
  try {
    return assemble(openFile(file, lock), options, file);
  } catch (error) {
    lock.release();
    throw toStoreError(error);
  }
}

interface Connections {
  readonly writer: Connection;
  readonly reader: Connection;
  /** Called once both are closed. */
  readonly onClosed: () => void;
}

function openMemory(): Connections {
  const connection = openWriter(MEMORY);
  return { writer: connection, reader: connection, onClosed: () => undefined };
}

function openFile(file: string, lock: OwnerLock): Connections {
  makeFile(file);
  const writer = openWriter(file);
  try {
    return { writer, reader: openReader(file), onClosed: () => lock.release() };
  } catch (error) {
    writer.close();
    throw error;
  }
}

/** Makes the folder; returns the file's real path, so that every way to it meets the same lock. */
async function resolveFile({ file, fileSystemType = linuxFileSystemType }: SqliteStoreOptions): Promise<string> {
  try {
    const wanted = path.resolve(file);
    await mkdir(path.dirname(wanted), { recursive: true, mode: 0o700 });
    const real = existsSync(wanted) ? await realpath(wanted) : path.join(await realpath(path.dirname(wanted)), path.basename(wanted));
    await requireLocalFileSystem(path.dirname(real), fileSystemType);
    return real;
  } catch (error) {
    throw unusable(file, error);
  }
}

/**
 * Makes the file readable by us only; SQLite gives its other files the same mode. Only for the owner:
 * closing a file gives up every lock this process has on it.
 */
function makeFile(file: string): void {
  try {
    closeSync(openSync(file, 'a', 0o600));
  } catch (error) {
    throw unusable(file, error);
  }
}

function unusable(file: string, error: unknown): PlatformError {
  if (isPlatformError(error)) return error;
  return new PlatformError('store_unavailable', { detail: `${file} cannot be opened for writing.`, cause: error });
}

/** Brings the schema up to date and puts the store together; closes the connections when that fails. */
function assemble(connections: Connections, options: SqliteStoreOptions, file?: string): Store {
  const { writer, reader, onClosed } = connections;
  const { clock, installation, keepsBefore = true } = options;
  try {
    if (file !== undefined && keepsBefore) keepBefore(writer, file, clock.now());
    migrate(writer, MIGRATIONS, clock.now());
    ensureInstallation(writer, installation ?? newId('installation'), clock.now());
    const checkpointer = file === undefined ? undefined : startCheckpointer(file, clock);
    return createSqlStore(createEngine({ writer, reader, checkpointer }, clock), onClosed);
  } catch (error) {
    if (reader !== writer) reader.close();
    writer.close();
    throw toStoreError(error);
  }
}

function ensureInstallation(db: Connection, id: string, now: number): void {
  if (db.get(FIND_INSTALLATION) === undefined) db.run(INSERT_INSTALLATION, { id, now });
}
