import type { Migration } from '../migrate.ts';

/**
 * Webhook endpoints, and the messages that wait to leave. `webhook_subscriptions` holds the enabled endpoints
 * only, by what they are told of: one look into it says whether an event makes deliveries. `deliveries.due_at`
 * is when a delivery is handed out next, and the end of its lease while it is leased; it has one as long as it
 * is open. What is due is found target by target, so that the backlog of one is never read for another.
 */
export const outbox: Migration = {
  version: 3,
  name: 'outbox',
  sql: `
CREATE TABLE webhooks (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL UNIQUE,
  url TEXT NOT NULL,
  events TEXT NOT NULL,
  description TEXT,
  metadata TEXT NOT NULL,
  secrets TEXT NOT NULL,
  is_enabled INTEGER NOT NULL DEFAULT 1 CHECK (is_enabled IN (0, 1)),
  disabled_reason TEXT CHECK (disabled_reason IN ('request', 'gone', 'failing')),
  failing_since INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, id),
  CHECK ((disabled_reason IS NULL) = (is_enabled = 1))
) STRICT;
CREATE INDEX webhooks_by_creation ON webhooks (tenant_id, created_at, id);

CREATE TABLE webhook_subscriptions (
  tenant_id TEXT NOT NULL,
  event_type TEXT NOT NULL,
  webhook_id TEXT NOT NULL,
  PRIMARY KEY (tenant_id, event_type, webhook_id),
  FOREIGN KEY (tenant_id, webhook_id) REFERENCES webhooks (tenant_id, id)
) STRICT;
CREATE INDEX webhook_subscriptions_by_webhook ON webhook_subscriptions (tenant_id, webhook_id);

CREATE TABLE deliveries (
  position INTEGER PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL CHECK (kind IN ('webhook')),
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
CREATE INDEX deliveries_due ON deliveries (target_id, due_at, position) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_leased ON deliveries (target_id, due_at) WHERE lease_owner IS NOT NULL;
CREATE INDEX deliveries_by_target ON deliveries (tenant_id, target_id, position, state);
CREATE INDEX deliveries_by_state ON deliveries (state) WHERE state <> 'sent';
CREATE INDEX deliveries_by_end ON deliveries (ended_at) WHERE ended_at IS NOT NULL;
`,
};
