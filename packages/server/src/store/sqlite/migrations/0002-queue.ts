import type { Migration } from '../migrate.ts';

/** `approvals.position` is the order in which a turn has asked. */
export const queue: Migration = {
  version: 2,
  name: 'queue',
  sql: `
ALTER TABLE approvals ADD COLUMN position INTEGER NOT NULL DEFAULT 0;
UPDATE approvals SET position = rowid;
`,
};
