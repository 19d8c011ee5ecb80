import type { Migration } from '../migrate.ts';

/** What each turn had to wait for. */
export const turnStages: Migration = {
  version: 8,
  name: 'turn-stages',
  sql: 'ALTER TABLE turns ADD COLUMN stages TEXT;',
};
