import type { Migration } from '../migrate.ts';

/**
 * Requests under an idempotency key: `resource_id` is the id of what is to be made, `holder` the try that works
 * on it, until `lease_until` of the store's time; `status` and `body` are the answer, once there is one.
 */
export const requests: Migration = {
  version: 4,
  name: 'requests',
  sql: `
CREATE TABLE requests (
  tenant_id TEXT NOT NULL,
  key TEXT NOT NULL,
  request_hash TEXT NOT NULL,
  resource_id TEXT NOT NULL,
  holder TEXT,
  lease_until INTEGER,
  status INTEGER,
  body TEXT,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, key),
  CHECK ((holder IS NULL) = (lease_until IS NULL)),
  CHECK ((status IS NULL) = (body IS NULL)),
  CHECK (status IS NULL OR holder IS NULL)
) STRICT;
CREATE INDEX requests_by_expiry ON requests (expires_at);

CREATE INDEX turns_queued ON turns (tenant_id) WHERE state = 'queued';
`,
};
