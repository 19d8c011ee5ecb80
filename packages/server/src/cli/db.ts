import path from 'node:path';
import { Command } from 'commander';
import { systemClock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { loadDatabaseConfig } from '../config.ts';
import { inspectPostgres, migratePostgres, placeOf } from '../store/postgres/maintenance.ts';
import type { DatabaseStatus } from '../store/sql/database-status.ts';
import { inspectSqlite, migrateSqlite } from '../store/sqlite/maintenance.ts';
import { emphasize, note, printLine, printTable } from './output.ts';

export function dbCommand(): Command {
  return new Command('db')
    .description('look after the database that DATABASE_URL or DATA_DIR names; no server is asked')
    .addCommand(statusCommand())
    .addCommand(migrateCommand())
    .addCommand(moveCommand());
}

type Database = { readonly store: 'sqlite'; readonly file: string } | { readonly store: 'postgres'; readonly url: string };

function configured(): Database {
  const { store, databaseUrl, dataDir } = loadDatabaseConfig();
  if (store === 'memory')
    throw new PlatformError('config_invalid', { detail: 'CLOISTER_STORE: a database in memory is gone with its server.' });
  if (store === 'postgres' && databaseUrl !== undefined) return { store, url: databaseUrl };
  return { store: 'sqlite', file: path.join(dataDir, 'cloister.db') };
}

function statusCommand(): Command {
  return new Command('status')
    .description('say which database it is, its version, what is to be migrated, and what is in it')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: true }) => {
      const database = configured();
      const status = database.store === 'postgres' ? await inspectPostgres(database.url) : inspectSqlite(database.file);
      if (json) printLine(JSON.stringify(status, null, 2));
      else printStatus(status);
    });
}

function printStatus({ store, place, version, pending, sizeBytes, tables }: DatabaseStatus): void {
  const schema = pending.length === 0 ? 'up to date' : `to be migrated: ${pending.join(', ')}`;
  const rows = [
    ['database', `${store} at ${place}`],
    ['version', `${version}, ${emphasize(pending.length === 0 ? 'green' : 'yellow', schema)}`],
    ['size', `${(sizeBytes / 1024 ** 2).toFixed(1)} MiB`],
  ] as const;
  for (const [name, value] of rows) printLine(`  ${name.padEnd(10)} ${value}`);
  if (tables.length === 0) return;
  printLine();
  printTable(
    ['TABLE', 'ROWS'],
    tables.map(({ name, rows: count }) => [name, String(count)]),
  );
}

function migrateCommand(): Command {
  return new Command('migrate').description('bring the schema up to date, as a server does when it starts').action(async () => {
    const database = configured();
    const made =
      database.store === 'postgres' ? await migratePostgres(database.url, systemClock) : migrateSqlite(database.file, systemClock);
    for (const name of made) printLine(`made ${name}`);
    note(made.length === 0 ? 'The schema is up to date.' : 'The schema is now up to date.');
  });
}

interface MoveOptions {
  readonly to?: string;
  readonly from?: string;
  readonly restart?: true;
}

function moveCommand(): Command {
  return new Command('move')
    .description('copy everything from SQLite into an empty PostgreSQL database, compare it, and leave the source as it is')
    .option('--to <url>', 'postgres:// URL of the target; left out, it is DATABASE_URL, which no list of processes shows')
    .option('--from <file>', 'the SQLite database; left out, it is DATA_DIR/cloister.db')
    .option('--restart', 'throw away what an earlier move has copied, and begin anew')
    .action(async (options: MoveOptions) => {
      const { databaseUrl, dataDir } = loadDatabaseConfig();
      const url = options.to ?? databaseUrl;
      if (url === undefined) throw new PlatformError('config_invalid', { detail: 'Name the target with --to or DATABASE_URL.' });
      const file = path.resolve(options.from ?? path.join(dataDir, 'cloister.db'));
      await move({ file, url, isRestart: options.restart === true });
    });
}

async function move(input: { readonly file: string; readonly url: string; readonly isRestart: boolean }): Promise<void> {
  const { moveToPostgres } = await import('../store/postgres/move/move.ts');
  const place = placeOf(input.url);
  const moved = await moveToPostgres({
    ...input,
    clock: systemClock,
    onProgress: ({ step, table, rows, total }) => note(`${step} ${table}: ${rows} of ${total}`),
  });
  printTable(
    ['TABLE', 'ROWS', 'CHECKSUM'],
    moved.map(({ table, rows, sum }) => [table, String(rows), sum]),
  );
  note(`All is in ${place}, and every row is the same. ${input.file} is as it was.`);
  note('Start the server with DATABASE_URL to go on there.');
}
