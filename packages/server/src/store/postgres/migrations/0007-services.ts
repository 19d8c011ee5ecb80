import type { Migration } from '../../sql/migrations.ts';

/**
 * Always-on agents. A host's port is a row of its own, so that its key keeps two services from having the same one
 * whoever asks. `revision` lets a server write only what it has seen the latest of.
 */
export const services: Migration = {
  version: 7,
  name: 'services',
  sql: `
CREATE TABLE services (
  tenant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL UNIQUE,
  host_id TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  spec TEXT COLLATE "C" NOT NULL,
  metadata TEXT COLLATE "C" NOT NULL,
  desired TEXT COLLATE "C" NOT NULL DEFAULT 'running' CHECK (desired IN ('running', 'stopped', 'deleted')),
  state TEXT COLLATE "C" NOT NULL DEFAULT 'pending'
    CHECK (state IN ('pending', 'starting', 'running', 'backoff', 'stopping', 'stopped', 'failed', 'deleting')),
  health TEXT COLLATE "C" NOT NULL DEFAULT 'unknown' CHECK (health IN ('unknown', 'healthy', 'unhealthy')),
  reason TEXT COLLATE "C",
  generation BIGINT NOT NULL DEFAULT 1,
  started_generation BIGINT NOT NULL DEFAULT 0,
  incarnation TEXT COLLATE "C",
  restarts TEXT COLLATE "C" NOT NULL DEFAULT '[]',
  next_start_at BIGINT,
  callback_hash TEXT COLLATE "C",
  reported TEXT COLLATE "C",
  started_at BIGINT,
  checked_at BIGINT,
  last_event BIGINT NOT NULL DEFAULT 0,
  revision BIGINT NOT NULL DEFAULT 0,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX services_by_creation ON services (tenant_id, created_at, id);
CREATE INDEX services_by_host ON services (host_id, created_at, id);

CREATE TABLE service_ports (
  host_id TEXT COLLATE "C" NOT NULL,
  port BIGINT NOT NULL,
  service_id TEXT COLLATE "C" NOT NULL UNIQUE,
  PRIMARY KEY (host_id, port)
);

CREATE TABLE service_events (
  tenant_id TEXT COLLATE "C" NOT NULL,
  service_id TEXT COLLATE "C" NOT NULL,
  seq BIGINT NOT NULL,
  type TEXT COLLATE "C" NOT NULL,
  detail TEXT COLLATE "C",
  created_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, service_id, seq)
);
`,
};
