import type { Migration } from '../migrate.ts';

/**
 * Always-on agents. A host's port is a row of its own, so that its key keeps two services from having the same one
 * whoever asks. `revision` lets a server write only what it has seen the latest of.
 */
export const services: Migration = {
  version: 7,
  name: 'services',
  sql: `
CREATE TABLE services (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL UNIQUE,
  host_id TEXT NOT NULL,
  name TEXT NOT NULL,
  spec TEXT NOT NULL,
  metadata TEXT NOT NULL,
  desired TEXT NOT NULL DEFAULT 'running' CHECK (desired IN ('running', 'stopped', 'deleted')),
  state TEXT NOT NULL DEFAULT 'pending'
    CHECK (state IN ('pending', 'starting', 'running', 'backoff', 'stopping', 'stopped', 'failed', 'deleting')),
  health TEXT NOT NULL DEFAULT 'unknown' CHECK (health IN ('unknown', 'healthy', 'unhealthy')),
  reason TEXT,
  generation INTEGER NOT NULL DEFAULT 1,
  started_generation INTEGER NOT NULL DEFAULT 0,
  incarnation TEXT,
  restarts TEXT NOT NULL DEFAULT '[]',
  next_start_at INTEGER,
  callback_hash TEXT,
  reported TEXT,
  started_at INTEGER,
  checked_at INTEGER,
  last_event INTEGER NOT NULL DEFAULT 0,
  revision INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, id)
) STRICT;
CREATE INDEX services_by_creation ON services (tenant_id, created_at, id);
CREATE INDEX services_by_host ON services (host_id, created_at, id);

CREATE TABLE service_ports (
  host_id TEXT NOT NULL,
  port INTEGER NOT NULL,
  service_id TEXT NOT NULL UNIQUE,
  PRIMARY KEY (host_id, port)
) STRICT;

CREATE TABLE service_events (
  tenant_id TEXT NOT NULL,
  service_id TEXT NOT NULL,
  seq INTEGER NOT NULL,
  type TEXT NOT NULL,
  detail TEXT,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, service_id, seq)
) STRICT;
`,
};
