import { type ProblemDefinition, p } from './problem-kinds.ts';

/** What goes wrong with backups and restores. Part of the table in `problems.ts`. */
export const PROBLEMS_OF_BACKUP = {
  backup_invalid: p(
    'unprocessable',
    'never',
    'This is no whole backup of Cloister.',
    'Use another backup: what does not match its checksums is not restored.',
  ),
  backup_exists: p('conflict', 'change', 'There is something in the place of the backup already.', 'Name another place with --to.'),
  backup_passphrase_wrong: p(
    'unprocessable',
    'change',
    'The keys in the backup cannot be opened with this passphrase.',
    'Give the passphrase that the backup was made with, or restore without the keys with --without-keys.',
  ),
  restore_not_empty: p(
    'unprocessable',
    'change',
    'The directory to restore into holds something already.',
    'Name an empty directory with --into, or add --force, which puts what is there aside.',
  ),
} as const satisfies Readonly<Record<string, ProblemDefinition>>;
