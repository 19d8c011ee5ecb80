import type { Migration } from '../migrate.ts';

/**
 * `turns.position` is the order of the queue. `is_ready` marks the one turn of a session that may be
 * leased next, so that leasing reads one index entry however many turns wait behind others; both laws,
 * one turn under way and one ready per session, are unique indexes. What a session was made from lies
 * apart, since its own row is written with each event.
 */
export const initial: Migration = {
  version: 1,
  name: 'initial',
  sql: `
CREATE TABLE installation (
  id TEXT PRIMARY KEY,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE health (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  checked_at INTEGER NOT NULL,
  checks INTEGER NOT NULL
) STRICT;

CREATE TABLE api_keys (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('admin')),
  hash TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, id)
) STRICT;

CREATE TABLE agents (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  version INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  archived_at INTEGER,
  PRIMARY KEY (tenant_id, id)
) STRICT;
CREATE INDEX agents_by_creation ON agents (tenant_id, created_at, id, archived_at);

CREATE TABLE agent_versions (
  tenant_id TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  definition TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, agent_id, version),
  FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id)
) STRICT;

CREATE TABLE environments (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  definition TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  archived_at INTEGER,
  PRIMARY KEY (tenant_id, id)
) STRICT;
CREATE INDEX environments_by_creation ON environments (tenant_id, created_at, id, archived_at);

CREATE TABLE sessions (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL UNIQUE,
  agent_id TEXT NOT NULL,
  agent_version INTEGER NOT NULL,
  environment_id TEXT NOT NULL,
  title TEXT,
  metadata TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('idle', 'running', 'waiting', 'rescheduling', 'terminated')),
  last_seq INTEGER NOT NULL DEFAULT 0,
  harness_session_id TEXT,
  input_tokens INTEGER NOT NULL DEFAULT 0,
  output_tokens INTEGER NOT NULL DEFAULT 0,
  cache_read_tokens INTEGER NOT NULL DEFAULT 0,
  cache_creation_tokens INTEGER NOT NULL DEFAULT 0,
  active_ms INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  archived_at INTEGER,
  PRIMARY KEY (tenant_id, id)
) STRICT;
CREATE INDEX sessions_by_creation ON sessions (tenant_id, created_at, id, archived_at, state);
CREATE INDEX sessions_by_agent ON sessions (tenant_id, agent_id, created_at, id, archived_at, state);

CREATE TABLE session_definitions (
  tenant_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  agent TEXT NOT NULL,
  environment TEXT NOT NULL,
  PRIMARY KEY (tenant_id, session_id),
  FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id)
) STRICT;

CREATE TABLE events (
  tenant_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  seq INTEGER NOT NULL CHECK (seq > 0),
  id TEXT NOT NULL,
  turn_id TEXT,
  type TEXT NOT NULL,
  payload TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  processed_at INTEGER,
  FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id)
) STRICT;
CREATE UNIQUE INDEX events_by_seq ON events (tenant_id, session_id, seq);
CREATE UNIQUE INDEX events_by_id ON events (tenant_id, session_id, id);
CREATE INDEX events_by_turn ON events (tenant_id, session_id, turn_id, seq);

CREATE TABLE turns (
  position INTEGER PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  id TEXT NOT NULL UNIQUE,
  event_id TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'waiting_approval', 'completed', 'failed', 'cancelled', 'interrupted')),
  is_ready INTEGER NOT NULL DEFAULT 0 CHECK (is_ready = 0 OR (is_ready = 1 AND state = 'queued')),
  attempt INTEGER NOT NULL DEFAULT 0,
  lease_owner TEXT,
  lease_until INTEGER,
  prompted_at INTEGER,
  cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
  is_continuation INTEGER NOT NULL DEFAULT 0 CHECK (is_continuation IN (0, 1)),
  stop_reason TEXT,
  error TEXT,
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  ended_at INTEGER,
  CHECK ((lease_owner IS NULL) = (lease_until IS NULL)),
  CHECK (lease_owner IS NULL OR state IN ('running', 'waiting_approval')),
  CHECK (lease_owner IS NOT NULL OR state <> 'running'),
  CHECK ((ended_at IS NULL) = (state IN ('queued', 'running', 'waiting_approval'))),
  FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id)
) STRICT;
CREATE INDEX turns_by_session ON turns (tenant_id, session_id, state, position);
CREATE UNIQUE INDEX turns_under_way ON turns (tenant_id, session_id) WHERE state IN ('running', 'waiting_approval');
CREATE UNIQUE INDEX turns_next ON turns (tenant_id, session_id) WHERE is_ready = 1;
CREATE INDEX turns_ready ON turns (position) WHERE is_ready = 1;
CREATE INDEX turns_leased ON turns (position) WHERE lease_owner IS NOT NULL;
CREATE INDEX turns_open ON turns (state) WHERE state IN ('queued', 'running', 'waiting_approval');

CREATE TABLE approvals (
  tenant_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  id TEXT NOT NULL,
  turn_id TEXT NOT NULL,
  tool_name TEXT NOT NULL,
  input TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('pending', 'granted', 'denied', 'expired', 'cancelled')),
  deny_message TEXT,
  created_at INTEGER NOT NULL,
  decided_at INTEGER,
  PRIMARY KEY (tenant_id, session_id, id),
  FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id),
  FOREIGN KEY (turn_id) REFERENCES turns (id)
) STRICT;
CREATE INDEX approvals_by_turn ON approvals (turn_id, state);

CREATE TABLE idempotency_keys (
  tenant_id TEXT NOT NULL,
  key TEXT NOT NULL,
  request_hash TEXT NOT NULL,
  session_id TEXT NOT NULL,
  event_ids TEXT NOT NULL,
  turn_ids TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, key),
  FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id)
) STRICT;
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at);
CREATE INDEX idempotency_keys_by_session ON idempotency_keys (tenant_id, session_id);
`,
};
