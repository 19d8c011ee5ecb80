import type { Migration } from '../../sql/migrations.ts';

/**
 * What the gateway decided about the connections of each sandbox, and what a session has used of the network so
 * far. No path, no query and no header is kept.
 */
export const egress: Migration = {
  version: 6,
  name: 'egress',
  sql: `
CREATE TABLE egress_audit (
  tenant_id TEXT COLLATE "C" NOT NULL,
  session_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL UNIQUE,
  sandbox_id TEXT COLLATE "C" NOT NULL,
  way TEXT COLLATE "C" NOT NULL CHECK (way IN ('tunnel', 'plain', 'inspected')),
  method TEXT COLLATE "C" NOT NULL,
  host TEXT COLLATE "C" NOT NULL,
  port BIGINT NOT NULL,
  address TEXT COLLATE "C",
  outcome TEXT COLLATE "C" NOT NULL CHECK (outcome IN ('allowed', 'denied', 'failed')),
  reason TEXT COLLATE "C" NOT NULL,
  times BIGINT NOT NULL,
  bytes_up BIGINT NOT NULL,
  bytes_down BIGINT NOT NULL,
  ending TEXT COLLATE "C",
  created_at BIGINT NOT NULL,
  ended_at BIGINT,
  PRIMARY KEY (tenant_id, session_id, id)
);
CREATE INDEX egress_audit_by_session ON egress_audit (tenant_id, session_id, created_at, id);
CREATE INDEX egress_audit_by_time ON egress_audit (created_at);

CREATE TABLE egress_usage (
  tenant_id TEXT COLLATE "C" NOT NULL,
  session_id TEXT COLLATE "C" NOT NULL,
  requests BIGINT NOT NULL,
  bytes BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, session_id),
  FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id)
);
`,
};
