import type { Migration } from '../../sql/migrations.ts';

/**
 * Credentials, sealed, in vaults: of a session (`sessions.vault_ids`), of an agent (`vault_agents`), or of the whole
 * tenant (`is_default`). `encryption_keys` says which keys are in use; the keys themselves are outside.
 */
export const vaults: Migration = {
  version: 14,
  name: 'vaults',
  sql: `
ALTER TABLE sessions ADD COLUMN vault_ids TEXT COLLATE "C" NOT NULL DEFAULT '[]';

CREATE TABLE encryption_keys (
  id TEXT COLLATE "C" PRIMARY KEY,
  is_current BIGINT NOT NULL CHECK (is_current IN (0, 1)),
  created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX encryption_keys_current ON encryption_keys (is_current) WHERE is_current = 1;

CREATE TABLE vaults (
  tenant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL UNIQUE,
  display_name TEXT COLLATE "C" NOT NULL,
  metadata TEXT COLLATE "C" NOT NULL,
  is_default BIGINT NOT NULL CHECK (is_default IN (0, 1)),
  agent_ids TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  archived_at BIGINT,
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX vaults_by_creation ON vaults (tenant_id, created_at, id);
CREATE INDEX vaults_default ON vaults (tenant_id) WHERE is_default = 1 AND archived_at IS NULL;

CREATE TABLE vault_agents (
  tenant_id TEXT COLLATE "C" NOT NULL,
  agent_id TEXT COLLATE "C" NOT NULL,
  vault_id TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant_id, agent_id, vault_id),
  FOREIGN KEY (tenant_id, vault_id) REFERENCES vaults (tenant_id, id)
);
CREATE INDEX vault_agents_by_vault ON vault_agents (tenant_id, vault_id);

CREATE TABLE vault_credentials (
  tenant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL UNIQUE,
  vault_id TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('provider_key', 'http', 'static_bearer', 'mcp_oauth')),
  target TEXT COLLATE "C" NOT NULL,
  display_name TEXT COLLATE "C",
  metadata TEXT COLLATE "C" NOT NULL,
  auth TEXT COLLATE "C" NOT NULL,
  sealed TEXT COLLATE "C",
  version BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  archived_at BIGINT,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, vault_id) REFERENCES vaults (tenant_id, id),
  CHECK ((sealed IS NULL) = (archived_at IS NOT NULL))
);
CREATE INDEX vault_credentials_by_vault ON vault_credentials (tenant_id, vault_id, created_at, id);
CREATE INDEX vault_credentials_by_target ON vault_credentials (tenant_id, target, vault_id) WHERE archived_at IS NULL;

CREATE TABLE provider_policies (
  tenant_id TEXT COLLATE "C" PRIMARY KEY,
  managed_keys BIGINT NOT NULL CHECK (managed_keys IN (0, 1)),
  updated_at BIGINT NOT NULL
);
`,
};
