import type { Migration } from '../migrate.ts';

/** Which node is to let go of a session that another has taken, and where an agent's shared workspace lies. */
export const workspaces: Migration = {
  version: 10,
  name: 'workspaces',
  sql: `
ALTER TABLE sessions ADD COLUMN leaving_node TEXT;
CREATE INDEX sessions_leaving ON sessions (leaving_node) WHERE leaving_node IS NOT NULL;

CREATE TABLE agent_volumes (
  tenant_id TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  volume_id TEXT NOT NULL,
  PRIMARY KEY (tenant_id, agent_id)
) STRICT;
`,
};
