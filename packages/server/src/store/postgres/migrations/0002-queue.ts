import type { Migration } from '../../sql/migrations.ts';

/**
 * `turns.rank` is a turn's place in the fair order, given when it becomes ready (see sql/fair-order.ts).
 * `retry_at` and `ready_at` are times of the store. `sessions.node_id` is the node that has the session's
 * sandbox, `volume_id` where its files lie. `approvals.position` is the order in which a turn has asked.
 */
export const queue: Migration = {
  version: 2,
  name: 'queue',
  sql: `
ALTER TABLE turns ADD COLUMN agent_id TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE turns ADD COLUMN agent_cap BIGINT;
ALTER TABLE turns ADD COLUMN priority BIGINT NOT NULL DEFAULT 0 CHECK (priority IN (0, 1));
ALTER TABLE turns ADD COLUMN rank DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE turns ADD COLUMN ready_at BIGINT;
ALTER TABLE turns ADD COLUMN retry_at BIGINT;
ALTER TABLE turns ADD COLUMN retries BIGINT NOT NULL DEFAULT 0;
ALTER TABLE turns ADD COLUMN steered_into TEXT COLLATE "C";
UPDATE turns SET agent_id = (SELECT agent_id FROM sessions s WHERE s.tenant_id = turns.tenant_id AND s.id = turns.session_id);

DROP INDEX turns_ready;
CREATE INDEX turns_ready ON turns (rank, position) WHERE is_ready = 1;
CREATE INDEX turns_ready_by_tenant ON turns (tenant_id, priority, rank) WHERE is_ready = 1;
CREATE INDEX turns_running ON turns (tenant_id, agent_id) WHERE state = 'running';
CREATE INDEX turns_steered ON turns (tenant_id, session_id, steered_into) WHERE steered_into IS NOT NULL;
CREATE INDEX turns_by_creation ON turns (tenant_id, created_at, id, state);

ALTER TABLE sessions ADD COLUMN node_id TEXT COLLATE "C";
ALTER TABLE sessions ADD COLUMN volume_id TEXT COLLATE "C";

CREATE TABLE nodes (
  id TEXT COLLATE "C" PRIMARY KEY,
  host TEXT COLLATE "C" NOT NULL,
  joined_at BIGINT NOT NULL,
  alive_until BIGINT NOT NULL
);

CREATE TABLE duties (
  name TEXT COLLATE "C" PRIMARY KEY,
  node_id TEXT COLLATE "C" NOT NULL,
  lease_until BIGINT NOT NULL
);

ALTER TABLE approvals ADD COLUMN position BIGINT NOT NULL DEFAULT 0;
`,
};
