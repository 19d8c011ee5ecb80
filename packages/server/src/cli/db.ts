import { Command } from 'commander';
import type { DatabaseStatus, MoveProgress } from '../databases.ts';
import { emphasize, note, printJson, printLine, printTable } from './output.ts';

/** Loaded when it is needed, so that the other commands start without the databases. */
const databases = () => import('../databases.ts');

export function dbCommand(): Command {
  return new Command('db').addCommand(statusCommand()).addCommand(migrateCommand()).addCommand(moveCommand());
}

function statusCommand(): Command {
  return new Command('status')
    .description('say which database it is, its version, what is to be migrated, and what is in it')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: true }) => {
      const { configuredDatabase } = await databases();
      const status = await configuredDatabase().status();
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
  return new Command('migrate')
    .description('bring the schema up to date, as a server does when it starts')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: true }) => {
      const { configuredDatabase } = await databases();
      const made = await configuredDatabase().migrate();
      if (json) return printJson({ made });
      for (const name of made) printLine(`made ${name}`);
      note(made.length === 0 ? 'The schema is up to date.' : 'The schema is now up to date.');
    });
}

interface MoveOptions {
  readonly to?: string;
  readonly from?: string;
  readonly restart?: true;
  readonly json?: true;
}

function moveCommand(): Command {
  return new Command('move')
    .description('copy everything from SQLite into an empty PostgreSQL database, compare it, and leave the source as it is')
    .option('--to <url>', 'postgres:// URL of the target; left out, it is DATABASE_URL, which no list of processes shows')
    .option('--from <file>', 'the SQLite database; left out, it is DATA_DIR/cloister.db')
    .option('--restart', 'throw away what an earlier move has copied, and begin anew')
    .option('--json', 'print JSON')
    .action(async ({ to, from, restart, json }: MoveOptions) => {
      const { moveDatabase } = await databases();
      const moved = await moveDatabase({ to, from, isRestart: restart === true, onProgress: showProgress });
      if (json) return printJson(moved);
      const { file, place, tables } = moved;
      printTable(
        ['TABLE', 'ROWS', 'CHECKSUM'],
        tables.map(({ table, rows, sum }) => [table, String(rows), sum]),
      );
      note(`All is in ${place}, and every row is the same. ${file} is as it was.`);
      note('Start the server with DATABASE_URL to go on there.');
    });
}

function showProgress({ step, table, rows, total }: MoveProgress): void {
  note(`${step} ${table}: ${rows} of ${total}`);
}
