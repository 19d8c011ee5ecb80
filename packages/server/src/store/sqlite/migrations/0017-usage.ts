import type { Migration } from '../migrate.ts';

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
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL UNIQUE,
  agent_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  turn_id TEXT,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  input_tokens INTEGER NOT NULL DEFAULT 0,
  output_tokens INTEGER NOT NULL DEFAULT 0,
  cache_read_tokens INTEGER NOT NULL DEFAULT 0,
  cache_creation_tokens INTEGER NOT NULL DEFAULT 0,
  cost_micros INTEGER NOT NULL DEFAULT 0,
  reserved_micros INTEGER NOT NULL DEFAULT 0,
  budget_ids TEXT NOT NULL DEFAULT '[]',
  price_version TEXT NOT NULL DEFAULT '',
  is_estimated INTEGER NOT NULL DEFAULT 0 CHECK (is_estimated IN (0, 1)),
  outcome TEXT CHECK (outcome IN ('succeeded', 'failed', 'aborted', 'lost')),
  node_id TEXT,
  lease_until INTEGER,
  started_at INTEGER NOT NULL,
  ended_at INTEGER,
  PRIMARY KEY (tenant_id, id),
  CHECK ((outcome IS NULL) = (ended_at IS NULL)),
  CHECK ((outcome IS NULL) = (lease_until IS NOT NULL))
) STRICT;
CREATE INDEX model_calls_by_start ON model_calls (tenant_id, started_at, id);
CREATE INDEX model_calls_by_age ON model_calls (started_at);
CREATE INDEX model_calls_under_way ON model_calls (node_id, lease_until) WHERE outcome IS NULL;

CREATE TABLE usage_days (
  tenant_id TEXT NOT NULL,
  day INTEGER NOT NULL,
  agent_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  calls INTEGER NOT NULL,
  estimated_calls INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_creation_tokens INTEGER NOT NULL,
  cost_micros INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, day, agent_id, session_id, provider, model)
) STRICT;
CREATE INDEX usage_days_by_session ON usage_days (tenant_id, session_id, day);

CREATE TABLE budgets (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL UNIQUE,
  scope TEXT NOT NULL CHECK (scope IN ('tenant', 'agent', 'session', 'schedule')),
  subject_id TEXT NOT NULL,
  period TEXT NOT NULL CHECK (period IN ('total', 'day', 'month')),
  limit_micros INTEGER NOT NULL CHECK (limit_micros >= 0),
  raised_micros INTEGER NOT NULL DEFAULT 0,
  spent_micros INTEGER NOT NULL DEFAULT 0,
  reserved_micros INTEGER NOT NULL DEFAULT 0,
  period_start INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, id)
) STRICT;
CREATE INDEX budgets_by_subject ON budgets (tenant_id, scope, subject_id);

CREATE TABLE budget_raises (
  tenant_id TEXT NOT NULL,
  budget_id TEXT NOT NULL,
  raise_key TEXT NOT NULL,
  amount_micros INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, budget_id, raise_key),
  FOREIGN KEY (tenant_id, budget_id) REFERENCES budgets (tenant_id, id)
) STRICT;

CREATE TABLE budget_version (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  version INTEGER NOT NULL
) STRICT;

CREATE TABLE plans (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  limits TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX plans_by_creation ON plans (created_at, id);

CREATE TABLE tenant_plans (
  tenant_id TEXT PRIMARY KEY,
  plan_id TEXT NOT NULL,
  assigned_at INTEGER NOT NULL,
  FOREIGN KEY (plan_id) REFERENCES plans (id)
) STRICT;
CREATE INDEX tenant_plans_by_plan ON tenant_plans (plan_id);

CREATE TABLE plan_counters (
  tenant_id TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('messages_per_day', 'messages_per_month')),
  period_start INTEGER NOT NULL,
  used INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, kind)
) STRICT;

CREATE TABLE session_storage (
  tenant_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  measured_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, session_id),
  FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id)
) STRICT;
`,
};
