import { createReadStream, existsSync } from 'node:fs';
import { copyFile, mkdir, open, rm } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { type BackupDatabase, type BackupReport, makeBackup } from './backup/backup.ts';
import { oldBackups, removeBackup } from './backup/keep.ts';
import { invalidBackup } from './backup/manifest.ts';
import { type RestoreDatabases, type RestoreReport, restoreBackup } from './backup/restore.ts';
import { readPassphrase } from './backup/sealed-keys.ts';
import { describeSettings } from './backup/settings.ts';
import { diskProblem } from './backup/spool.ts';
import { systemClock, toTimestamp } from './base/clock.ts';
import { PlatformError } from './base/errors.ts';
import { newUnique } from './base/ids.ts';
import { type Config, loadConfig, loadDatabaseConfig } from './config.ts';
import { dumpPostgres } from './store/postgres/dump.ts';
import { dumpVersion, loadPostgres } from './store/postgres/load.ts';
import { moveToPostgres } from './store/postgres/move/move.ts';
import { copySqlite, examineSqlite, requireUnowned } from './store/sqlite/copy.ts';
import { migrateSqlite } from './store/sqlite/maintenance.ts';
import { MIGRATIONS } from './store/sqlite/migrations/all.ts';
import { openMoveSource } from './store/sqlite/move-source.ts';

export type { BackupReport } from './backup/backup.ts';
export type { RestoreReport } from './backup/restore.ts';

type Progress = (what: string) => void;

/** Of those that are made before a migration. */
const KEPT = 3;
const WRITE_BYTES = 256 * 1024;

export interface BackupOptions {
  /** A directory, a tar file or `-`; `backups/` in DATA_DIR unless told. */
  readonly to: string | undefined;
  /** Takes the keys too, sealed with the passphrase in this file. */
  readonly passphraseFile: string | undefined;
  readonly onProgress: Progress;
}

/** Backs up what the settings name; servers may be at work. */
export async function backupInstallation({ to, passphraseFile, onProgress }: BackupOptions): Promise<BackupReport> {
  const config = loadConfig();
  const { dataDir } = config;
  const passphrase = passphraseFile === undefined ? undefined : await readPassphrase(passphraseFile);
  return makeBackup(
    { database: databaseOf(config), dataDir, clock: systemClock, onProgress },
    {
      to: to ?? path.join(dataDir, 'backups'),
      stdout: process.stdout,
      passphrase,
      settings: describeSettings(config),
      hasFiles: true,
    },
  );
}

/** Called before a PostgreSQL database with data is migrated; undefined where the operator wants no such backup. */
export function beforeMigrationOf({
  dataDir,
  backup,
  databaseUrl: url,
}: Pick<Config, 'dataDir' | 'backup' | 'databaseUrl'>): ((version: number) => Promise<void>) | undefined {
  if (!backup.beforeMigration || url === undefined) return undefined;
  return async (version) => {
    const stamp = toTimestamp(systemClock.now()).replaceAll(/[-:]|\.\d+/g, '');
    const directory = path.join(dataDir, 'backups');
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await makeBackup(
      { database: postgresDatabase(url), dataDir, clock: systemClock, onProgress: () => undefined },
      {
        to: path.join(directory, `before-${version}-${stamp}.tar.gz`),
        stdout: process.stdout,
        passphrase: undefined,
        settings: {},
        hasFiles: false,
      },
    );
    for (const old of await oldBackups(dataDir, { kept: KEPT, now: systemClock.now() }))
      if (path.basename(old.file).startsWith('before-')) await removeBackup(old);
  };
}

export interface RestoreOptions {
  readonly from: string;
  /** DATA_DIR unless told. */
  readonly into: string | undefined;
  readonly toDatabase: string | undefined;
  readonly isForced: boolean;
  readonly passphraseFile: string | undefined;
  readonly withoutKeys: boolean;
  readonly onProgress: Progress;
}

export async function restoreInstallation(options: RestoreOptions): Promise<RestoreReport> {
  const { from, into, toDatabase, isForced, passphraseFile, withoutKeys, onProgress } = options;
  const { dataDir, databaseUrl } = loadDatabaseConfig();
  const passphrase = passphraseFile === undefined ? undefined : await readPassphrase(passphraseFile);
  return restoreBackup(
    { databases: restoreDatabases(onProgress), clock: systemClock, onProgress },
    {
      from,
      stdin: process.stdin as AsyncIterable<Buffer>, // without an encoding it yields buffers
      into: into ?? dataDir,
      databaseUrl: toDatabase,
      configuredUrl: databaseUrl,
      isForced,
      passphrase,
      withoutKeys,
    },
  );
}

function databaseOf({ store, databaseUrl: url, dataDir }: Pick<Config, 'store' | 'databaseUrl' | 'dataDir'>): BackupDatabase {
  if (store === 'memory')
    throw new PlatformError('config_invalid', { detail: 'CLOISTER_STORE: a database in memory is gone with its server.' });
  if (store === 'postgres' && url !== undefined) return postgresDatabase(url);
  const file = path.join(dataDir, 'cloister.db');
  if (!existsSync(file)) throw new PlatformError('store_unavailable', { detail: `There is no database at ${file}.` });
  return { kind: 'sqlite', copy: (target) => copySqlite(file, target) };
}

function postgresDatabase(url: string): BackupDatabase {
  return {
    kind: 'postgres',
    async copy(target, onProgress) {
      await using file = await open(target, 'wx', 0o600);
      let waiting: string[] = [];
      let length = 0;
      const flush = async () => {
        try {
          await file.writeFile(waiting.join(''));
        } catch (error) {
          throw diskProblem(error);
        }
        waiting = [];
        length = 0;
      };
      const copied = await dumpPostgres(url, {
        async write(line) {
          waiting.push(line, '\n');
          length += line.length;
          if (length >= WRITE_BYTES) await flush();
        },
        onTable: (table, rows) => onProgress(`database: ${table}, ${rows} rows`),
      });
      await flush();
      await file.sync();
      return copied;
    },
  };
}

function restoreDatabases(onProgress: Progress): RestoreDatabases {
  return {
    newestSchema: MIGRATIONS.length,
    requireFree(dataDir) {
      const file = path.join(dataDir, 'cloister.db');
      if (existsSync(file)) requireUnowned(file, systemClock.now());
    },
    async examine(kind, file, drafts) {
      if (kind === 'sqlite') return withCopy(file, drafts, async (copy) => void examineSqlite(copy));
      for await (const line of linesOf(file)) return void dumpVersion(line);
      throw invalidBackup('its database is empty');
    },
    async load(kind, file, { url, drafts }) {
      if (kind === 'postgres')
        return loadPostgres({
          url,
          lines: linesOf(file),
          clock: systemClock,
          onTable: (table, rows) => onProgress(`database: ${table}, ${rows} rows`),
        });
      await withCopy(file, drafts, async (copy) => {
        migrateSqlite(copy, systemClock, { keepsBefore: false });
        const source = openMoveSource(copy, systemClock);
        try {
          const tell = { isRestart: true, clock: systemClock, onProgress: () => undefined };
          await moveToPostgres({ source, url, ...tell });
        } finally {
          source.close();
        }
      });
    },
  };
}

/** A backup itself is never opened as a database: that could change it. */
async function withCopy(file: string, drafts: string, work: (copy: string) => Promise<void>): Promise<void> {
  const folder = path.join(drafts, `.database-${newUnique()}`);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  try {
    const copy = path.join(folder, 'cloister.db');
    await copyFile(file, copy);
    await work(copy);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Begins to read when the first line is asked for: what comes before that would be lost. */
async function* linesOf(file: string): AsyncGenerator<string> {
  yield* createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY });
}
