import type { Migration } from '../migrate.ts';

/**
 * What the gateway decided about the connections of each sandbox, and what a session has used of the network so
 * far. No path, no query and no header is kept.
 */
export const egress: Migration = {
  version: 6,
  name: 'egress',
  sql: `
CREATE TABLE egress_audit (
  tenant_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  id TEXT NOT NULL UNIQUE,
  sandbox_id TEXT NOT NULL,
  way TEXT NOT NULL CHECK (way IN ('tunnel', 'plain', 'inspected')),
  method TEXT NOT NULL,
  host TEXT NOT NULL,
  port INTEGER NOT NULL,
  address TEXT,
  outcome TEXT NOT NULL CHECK (outcome IN ('allowed', 'denied', 'failed')),
  reason TEXT NOT NULL,
  times INTEGER NOT NULL,
  bytes_up INTEGER NOT NULL,
  bytes_down INTEGER NOT NULL,
  ending TEXT,
  created_at INTEGER NOT NULL,
  ended_at INTEGER,
  PRIMARY KEY (tenant_id, session_id, id)
) STRICT;
CREATE INDEX egress_audit_by_session ON egress_audit (tenant_id, session_id, created_at, id);
CREATE INDEX egress_audit_by_time ON egress_audit (created_at);

CREATE TABLE egress_usage (
  tenant_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  requests INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, session_id),
  FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id)
) STRICT;
`,
};
