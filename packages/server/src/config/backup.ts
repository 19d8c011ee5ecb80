import { type Environment, flag } from './values.ts';

export interface BackupSettings {
  /** Whether a database with data is backed up before its schema changes. */
  readonly beforeMigration: boolean;
}

export function backupSettings(env: Environment): BackupSettings {
  return { beforeMigration: flag(env, 'MIGRATION_BACKUP', true) };
}
