import type { Migration } from '../../sql/migrations.ts';

/** How many turns of a tenant may be at work at once, beside the plan's other limits: leasing reads it. */
export const planCaps: Migration = {
  version: 18,
  name: 'plan-caps',
  sql: `
ALTER TABLE plans ADD COLUMN sandbox_cap BIGINT;
`,
};
