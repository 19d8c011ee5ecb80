import { chmodSync, closeSync, fsyncSync, mkdirSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { toTimestamp } from '../../base/clock.ts';
import { pendingMigrations } from '../sql/migrations.ts';
import type { Connection } from './connection.ts';
import { readLedger } from './migrate.ts';
import { MIGRATIONS } from './migrations/all.ts';

/** Copies of this kind that are kept. */
const KEPT = 3;

/**
 * Copies the database into `backups/` beside it when its schema is about to change and it holds something: migrations
 * only ever go forward. Called by the owner alone. What it throws (a full disk) keeps the database as it is.
 */
export function keepBefore(db: Connection, file: string, now: number): void {
  const applied = readLedger(db);
  if (applied.length === 0 || pendingMigrations(MIGRATIONS, applied).length === 0) return;
  const directory = path.join(path.dirname(file), 'backups');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const stamp = toTimestamp(now).replaceAll(/[-:]|\.\d+/g, '');
  const name = `before-${MIGRATIONS.length}-${stamp}.db`;
  const draft = path.join(directory, `${name}.partial`);
  rmSync(draft, { force: true });
  try {
    // A reader's transaction for all of it: consistent, and nobody else writes.
    db.run('VACUUM INTO :draft', { draft });
    chmodSync(draft, 0o600);
    sync(draft);
    renameSync(draft, path.join(directory, name));
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
  sync(directory);
  for (const old of copiesIn(directory).slice(0, -KEPT)) rmSync(path.join(directory, old), { force: true });
}

/** Oldest first. */
function copiesIn(directory: string): readonly string[] {
  const stampOf = (name: string) => name.split('-').at(-1) ?? '';
  return readdirSync(directory)
    .filter((name) => /^before-\d+-\d{8}T\d{6}Z\.db$/.test(name))
    .sort((a, b) => stampOf(a).localeCompare(stampOf(b)));
}

function sync(place: string): void {
  const handle = openSync(place, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
