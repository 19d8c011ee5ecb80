import type { Migration } from '../../sql/migrations.ts';

/**
 * Requests under an idempotency key: `resource_id` is the id of what is to be made, `holder` the try that works
 * on it, until `lease_until` of the store's time; `status` and `body` are the answer, once there is one.
 */
export const requests: Migration = {
  version: 4,
  name: 'requests',
  sql: `
CREATE TABLE requests (
  tenant_id TEXT COLLATE "C" NOT NULL,
  key TEXT COLLATE "C" NOT NULL,
  request_hash TEXT COLLATE "C" NOT NULL,
  resource_id TEXT COLLATE "C" NOT NULL,
  holder TEXT COLLATE "C",
  lease_until BIGINT,
  status BIGINT,
  body TEXT COLLATE "C",
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, key),
  CHECK ((holder IS NULL) = (lease_until IS NULL)),
  CHECK ((status IS NULL) = (body IS NULL)),
  CHECK (status IS NULL OR holder IS NULL)
);
CREATE INDEX requests_by_expiry ON requests (expires_at);

CREATE INDEX turns_queued ON turns (tenant_id) WHERE state = 'queued';
`,
};
