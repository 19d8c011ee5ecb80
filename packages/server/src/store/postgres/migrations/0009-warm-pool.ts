import type { Migration } from '../../sql/migrations.ts';

/**
 * Sandboxes that stand ready for sessions to come. They are only as lasting as the server that made them; the row is
 * there for the claim, which no two sessions can win. `warm_uses` knows which agent an environment is used with.
 */
export const warmPool: Migration = {
  version: 9,
  name: 'warm-pool',
  sql: `
CREATE TABLE warm_sandboxes (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  pool_key TEXT NOT NULL,
  node_id TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('warming', 'ready', 'claimed')),
  session_id TEXT UNIQUE,
  created_at BIGINT NOT NULL,
  CHECK ((state = 'claimed') = (session_id IS NOT NULL))
);

CREATE TABLE warm_uses (
  tenant_id TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  used_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, environment_id)
);
`,
};
