import { Command } from 'commander';
import type { BackupReport, RestoreReport } from '../backups.ts';
import { systemClock } from '../base/clock.ts';
import { CommandError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import { note, printLine } from './output.ts';

/** Loaded when it is needed, so that the other commands start without the databases. */
const backups = () => import('../backups.ts');

interface BackupOptions {
  readonly to?: string;
  readonly withKeys?: true;
  readonly passphraseFile?: string;
  readonly json?: true;
}

export function backupCommand(): Command {
  return new Command('backup')
    .option('--to <place>', 'a directory, a file ending in .tar, .tar.gz or .tgz, or - for standard output; DATA_DIR/backups if left out')
    .option('--with-keys', 'also the keys in DATA_DIR, encrypted with the passphrase')
    .option('--passphrase-file <file>', 'the file with the passphrase for --with-keys')
    .option('--json', 'print the manifest as JSON')
    .action(async ({ to, withKeys, passphraseFile, json }: BackupOptions) => {
      if ((withKeys === true) !== (passphraseFile !== undefined))
        throw new CommandError(EXIT.usage, {
          title: '--with-keys and --passphrase-file go together.',
          fix: 'Give both, or neither: keys are only ever backed up encrypted.',
        });
      const { backupInstallation } = await backups();
      const report = await backupInstallation({ to, passphraseFile, onProgress: progress() });
      if (json && to !== '-') printLine(JSON.stringify({ place: report.place, ...report.manifest }, null, 2));
      else tellBackup(report, to === '-' ? note : printLine);
    });
}

function tellBackup({ place, manifest }: BackupReport, tell: (line: string) => void): void {
  const { parts, database, has_keys: hasKeys } = manifest;
  const bytes = parts.reduce((sum, { size }) => sum + size, 0);
  const rows = database.tables.reduce((sum, table) => sum + table.rows, 0);
  const sessions = parts.filter(({ into }) => into?.startsWith('sessions/ses_')).length;
  if (place !== '-') tell(place);
  note(
    `${rows} rows (schema ${database.schema_version}), the files of ${sessions} sessions, ${(bytes / 1024 ** 2).toFixed(1)} MiB in all.`,
  );
  for (const { into, unsteady = [], omitted = [] } of parts) {
    for (const name of unsteady) note(`  changed while it was read: ${into}/${name}`, 'yellow');
    for (const name of omitted) note(`  left out, since it is no file or cannot be read: ${into}/${name}`, 'yellow');
  }
  if (!hasKeys) note('The keys are not in it: keep DATA_DIR/keys and CLOISTER_KEK apart, or use --with-keys.');
}

interface RestoreOptions {
  readonly into?: string;
  readonly toDatabase?: string;
  readonly force?: true;
  readonly passphraseFile?: string;
  readonly withoutKeys?: true;
  readonly json?: true;
}

export function restoreCommand(): Command {
  return new Command('restore')
    .argument('<from>', "a backup's directory, its tar file, or - for standard input")
    .option('--into <directory>', 'the data directory to make; DATA_DIR if left out')
    .option('--to-database <url>', 'an empty PostgreSQL database; for a backup of PostgreSQL, DATABASE_URL if left out')
    .option('--force', 'put aside what is in the directory already')
    .option('--passphrase-file <file>', 'the file with the passphrase that the keys were encrypted with')
    .option('--without-keys', 'leave out the keys that are in the backup')
    .option('--json', 'print JSON')
    .action(async (from: string, { into, toDatabase, force, passphraseFile, withoutKeys, json }: RestoreOptions) => {
      const { restoreInstallation } = await backups();
      const report = await restoreInstallation({
        from,
        into,
        toDatabase,
        isForced: force === true,
        passphraseFile,
        withoutKeys: withoutKeys === true,
        onProgress: progress(),
      });
      if (json) {
        const { manifest, ...rest } = report;
        printLine(
          JSON.stringify({ ...rest, created_at: manifest.created_at, version: manifest.version, database: manifest.database }, null, 2),
        );
      } else tellRestore(report);
    });
}

function tellRestore({ manifest, into, sessions, entries, hasKeys, former }: RestoreReport): void {
  const { database, created_at: createdAt, version } = manifest;
  const rows = database.tables.reduce((sum, table) => sum + table.rows, 0);
  printLine(
    `Restored ${into}: ${rows} rows, the files of ${sessions} sessions (${entries} entries), as of ${createdAt}, by Cloister ${version}.`,
  );
  if (former !== undefined) note(`What was there before is in ${former}.`);
  if (!hasKeys)
    note('Without keys: put DATA_DIR/keys (or CLOISTER_KEK) and admin.key there before the start, where the installation had some.');
  note('Start the server with this DATA_DIR to go on.');
}

const PAUSE_MS = 1000;

/** Not a line for each of a thousand sessions: one now and then. */
function progress(): (what: string) => void {
  let told = systemClock.monotonic();
  return (what) => {
    if (systemClock.monotonic() - told < PAUSE_MS) return;
    told = systemClock.monotonic();
    note(what);
  };
}
