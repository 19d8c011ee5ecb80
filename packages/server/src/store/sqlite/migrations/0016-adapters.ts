import type { Migration } from '../migrate.ts';

/** Sessions of other systems' users, and turns whose answer is posted somewhere; a delivery can be such a post. */
export const adapters: Migration = {
  version: 16,
  name: 'adapters',
  sql: `
CREATE TABLE adapter_sessions (
  tenant_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  adapter TEXT NOT NULL,
  user_id TEXT NOT NULL,
  data TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, session_id)
) STRICT;
CREATE INDEX adapter_sessions_by_user ON adapter_sessions (tenant_id, adapter, user_id, created_at, session_id);
CREATE INDEX adapter_sessions_by_creation ON adapter_sessions (created_at);

CREATE TABLE turn_callbacks (
  tenant_id TEXT NOT NULL,
  turn_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  adapter TEXT NOT NULL,
  target_id TEXT NOT NULL,
  url TEXT NOT NULL,
  secret TEXT NOT NULL,
  data TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, turn_id)
) STRICT;
CREATE INDEX turn_callbacks_by_session ON turn_callbacks (tenant_id, session_id);
CREATE INDEX turn_callbacks_by_creation ON turn_callbacks (created_at);

CREATE TABLE deliveries_of_more_kinds (
  position INTEGER PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL CHECK (kind IN ('webhook', 'callback')),
  target_id TEXT NOT NULL,
  message_id TEXT NOT NULL,
  event_type TEXT NOT NULL,
  data TEXT NOT NULL,
  session_id TEXT,
  state TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'failed', 'unknown')),
  attempt INTEGER NOT NULL DEFAULT 0,
  failures INTEGER NOT NULL DEFAULT 0,
  due_at INTEGER,
  lease_owner TEXT,
  last_status INTEGER,
  last_error TEXT,
  last_attempt_at INTEGER,
  created_at INTEGER NOT NULL,
  ended_at INTEGER,
  CHECK ((due_at IS NULL) = (state IN ('sent', 'failed'))),
  CHECK ((ended_at IS NULL) = (state IN ('pending', 'unknown'))),
  CHECK (lease_owner IS NULL OR due_at IS NOT NULL)
) STRICT;
INSERT INTO deliveries_of_more_kinds SELECT position, tenant_id, id, kind, target_id, message_id, event_type, data, session_id, state,
  attempt, failures, due_at, lease_owner, last_status, last_error, last_attempt_at, created_at, ended_at FROM deliveries;
DROP TABLE deliveries;
ALTER TABLE deliveries_of_more_kinds RENAME TO deliveries;
CREATE INDEX deliveries_due ON deliveries (target_id, due_at, position) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_leased ON deliveries (target_id, due_at) WHERE lease_owner IS NOT NULL;
CREATE INDEX deliveries_by_target ON deliveries (tenant_id, target_id, position, state);
CREATE INDEX deliveries_by_state ON deliveries (state) WHERE state <> 'sent';
CREATE INDEX deliveries_by_end ON deliveries (ended_at) WHERE ended_at IS NOT NULL;
`,
};
