import type { Migration } from '../../sql/migrations.ts';

/** Sessions of other systems' users, and turns whose answer is posted somewhere; a delivery can be such a post. */
export const adapters: Migration = {
  version: 16,
  name: 'adapters',
  sql: `
CREATE TABLE adapter_sessions (
  tenant_id TEXT COLLATE "C" NOT NULL,
  session_id TEXT COLLATE "C" NOT NULL,
  adapter TEXT COLLATE "C" NOT NULL,
  user_id TEXT COLLATE "C" NOT NULL,
  data TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, session_id)
);
CREATE INDEX adapter_sessions_by_user ON adapter_sessions (tenant_id, adapter, user_id, created_at, session_id);
CREATE INDEX adapter_sessions_by_creation ON adapter_sessions (created_at);

CREATE TABLE turn_callbacks (
  tenant_id TEXT COLLATE "C" NOT NULL,
  turn_id TEXT COLLATE "C" NOT NULL,
  session_id TEXT COLLATE "C" NOT NULL,
  adapter TEXT COLLATE "C" NOT NULL,
  target_id TEXT COLLATE "C" NOT NULL,
  url TEXT COLLATE "C" NOT NULL,
  secret TEXT COLLATE "C" NOT NULL,
  data TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, turn_id)
);
CREATE INDEX turn_callbacks_by_session ON turn_callbacks (tenant_id, session_id);
CREATE INDEX turn_callbacks_by_creation ON turn_callbacks (created_at);

ALTER TABLE deliveries DROP CONSTRAINT deliveries_kind_check;
ALTER TABLE deliveries ADD CONSTRAINT deliveries_kind_check CHECK (kind IN ('webhook', 'callback'));
`,
};
