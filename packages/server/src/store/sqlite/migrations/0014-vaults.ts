import type { Migration } from '../migrate.ts';

/**
 * Credentials, sealed, in vaults: of a session (`sessions.vault_ids`), of an agent (`vault_agents`), or of the whole
 * tenant (`is_default`). `encryption_keys` says which keys are in use; the keys themselves are outside.
 */
export const vaults: Migration = {
  version: 14,
  name: 'vaults',
  sql: `
ALTER TABLE sessions ADD COLUMN vault_ids TEXT NOT NULL DEFAULT '[]';

CREATE TABLE encryption_keys (
  id TEXT PRIMARY KEY,
  is_current INTEGER NOT NULL CHECK (is_current IN (0, 1)),
  created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX encryption_keys_current ON encryption_keys (is_current) WHERE is_current = 1;

CREATE TABLE vaults (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL UNIQUE,
  display_name TEXT NOT NULL,
  metadata TEXT NOT NULL,
  is_default INTEGER NOT NULL CHECK (is_default IN (0, 1)),
  agent_ids TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  archived_at INTEGER,
  PRIMARY KEY (tenant_id, id)
) STRICT;
CREATE INDEX vaults_by_creation ON vaults (tenant_id, created_at, id);
CREATE INDEX vaults_default ON vaults (tenant_id) WHERE is_default = 1 AND archived_at IS NULL;

CREATE TABLE vault_agents (
  tenant_id TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  vault_id TEXT NOT NULL,
  PRIMARY KEY (tenant_id, agent_id, vault_id),
  FOREIGN KEY (tenant_id, vault_id) REFERENCES vaults (tenant_id, id)
) STRICT;
CREATE INDEX vault_agents_by_vault ON vault_agents (tenant_id, vault_id);

CREATE TABLE vault_credentials (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL UNIQUE,
  vault_id TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('provider_key', 'http', 'static_bearer', 'mcp_oauth')),
  target TEXT NOT NULL,
  display_name TEXT,
  metadata TEXT NOT NULL,
  auth TEXT NOT NULL,
  sealed TEXT,
  version INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  archived_at INTEGER,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, vault_id) REFERENCES vaults (tenant_id, id),
  CHECK ((sealed IS NULL) = (archived_at IS NOT NULL))
) STRICT;
CREATE INDEX vault_credentials_by_vault ON vault_credentials (tenant_id, vault_id, created_at, id);
CREATE INDEX vault_credentials_by_target ON vault_credentials (tenant_id, target, vault_id) WHERE archived_at IS NULL;

CREATE TABLE provider_policies (
  tenant_id TEXT PRIMARY KEY,
  managed_keys INTEGER NOT NULL CHECK (managed_keys IN (0, 1)),
  updated_at INTEGER NOT NULL
) STRICT;
`,
};
