import type { Migration } from '../../sql/migrations.ts';

/**
 * What model calls cost, call by call and by day; budgets in money, with what is reserved for the calls under way; and
 * plans. A call's row is written before the call only where a budget applies. Neither it nor the sums refer to their
 * session: what was spent stays known when that is gone.
 */
export const usage: Migration = {
  version: 17,
  name: 'usage',
  sql: `
CREATE TABLE model_calls (
  tenant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL UNIQUE,
  agent_id TEXT COLLATE "C" NOT NULL,
  session_id TEXT COLLATE "C" NOT NULL,
  turn_id TEXT COLLATE "C",
  provider TEXT COLLATE "C" NOT NULL,
  model TEXT COLLATE "C" NOT NULL,
  input_tokens BIGINT NOT NULL DEFAULT 0,
  output_tokens BIGINT NOT NULL DEFAULT 0,
  cache_read_tokens BIGINT NOT NULL DEFAULT 0,
  cache_creation_tokens BIGINT NOT NULL DEFAULT 0,
  cost_micros BIGINT NOT NULL DEFAULT 0,
  reserved_micros BIGINT NOT NULL DEFAULT 0,
  budget_ids TEXT COLLATE "C" NOT NULL DEFAULT '[]',
  price_version TEXT COLLATE "C" NOT NULL DEFAULT '',
  is_estimated BIGINT NOT NULL DEFAULT 0 CHECK (is_estimated IN (0, 1)),
  outcome TEXT COLLATE "C" CHECK (outcome IN ('succeeded', 'failed', 'aborted', 'lost')),
  node_id TEXT COLLATE "C",
  lease_until BIGINT,
  started_at BIGINT NOT NULL,
  ended_at BIGINT,
  PRIMARY KEY (tenant_id, id),
  CHECK ((outcome IS NULL) = (ended_at IS NULL)),
  CHECK ((outcome IS NULL) = (lease_until IS NOT NULL))
);
CREATE INDEX model_calls_by_start ON model_calls (tenant_id, started_at, id);
CREATE INDEX model_calls_by_age ON model_calls (started_at);
CREATE INDEX model_calls_under_way ON model_calls (node_id, lease_until) WHERE outcome IS NULL;

CREATE TABLE usage_days (
  tenant_id TEXT COLLATE "C" NOT NULL,
  day BIGINT NOT NULL,
  agent_id TEXT COLLATE "C" NOT NULL,
  session_id TEXT COLLATE "C" NOT NULL,
  provider TEXT COLLATE "C" NOT NULL,
  model TEXT COLLATE "C" NOT NULL,
  calls BIGINT NOT NULL,
  estimated_calls BIGINT NOT NULL,
  input_tokens BIGINT NOT NULL,
  output_tokens BIGINT NOT NULL,
  cache_read_tokens BIGINT NOT NULL,
  cache_creation_tokens BIGINT NOT NULL,
  cost_micros BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, day, agent_id, session_id, provider, model)
);
CREATE INDEX usage_days_by_session ON usage_days (tenant_id, session_id, day);

CREATE TABLE budgets (
  tenant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL UNIQUE,
  scope TEXT COLLATE "C" NOT NULL CHECK (scope IN ('tenant', 'agent', 'session', 'schedule')),
  subject_id TEXT COLLATE "C" NOT NULL,
  period TEXT COLLATE "C" NOT NULL CHECK (period IN ('total', 'day', 'month')),
  limit_micros BIGINT NOT NULL CHECK (limit_micros >= 0),
  raised_micros BIGINT NOT NULL DEFAULT 0,
  spent_micros BIGINT NOT NULL DEFAULT 0,
  reserved_micros BIGINT NOT NULL DEFAULT 0,
  period_start BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX budgets_by_subject ON budgets (tenant_id, scope, subject_id);

CREATE TABLE budget_raises (
  tenant_id TEXT COLLATE "C" NOT NULL,
  budget_id TEXT COLLATE "C" NOT NULL,
  raise_key TEXT COLLATE "C" NOT NULL,
  amount_micros BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, budget_id, raise_key),
  FOREIGN KEY (tenant_id, budget_id) REFERENCES budgets (tenant_id, id)
);

CREATE TABLE budget_version (
  id BIGINT PRIMARY KEY CHECK (id = 1),
  version BIGINT NOT NULL
);

CREATE TABLE plans (
  id TEXT COLLATE "C" PRIMARY KEY,
  name TEXT COLLATE "C" NOT NULL,
  limits TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX plans_by_creation ON plans (created_at, id);

CREATE TABLE tenant_plans (
  tenant_id TEXT COLLATE "C" PRIMARY KEY,
  plan_id TEXT COLLATE "C" NOT NULL,
  assigned_at BIGINT NOT NULL,
  FOREIGN KEY (plan_id) REFERENCES plans (id)
);
CREATE INDEX tenant_plans_by_plan ON tenant_plans (plan_id);

CREATE TABLE plan_counters (
  tenant_id TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('messages_per_day', 'messages_per_month')),
  period_start BIGINT NOT NULL,
  used BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, kind)
);

CREATE TABLE session_storage (
  tenant_id TEXT COLLATE "C" NOT NULL,
  session_id TEXT COLLATE "C" NOT NULL,
  bytes BIGINT NOT NULL,
  measured_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, session_id),
  FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id)
);
`,
};
