import type { Migration } from '../migrate.ts';

/** Tenants, their people and how these get in, and keys that reach a part of a tenant. The first keys were all of one kind. */
export const access: Migration = {
  version: 13,
  name: 'access',
  sql: `
CREATE TABLE tenants (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended', 'deleting')),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX tenants_by_creation ON tenants (created_at, id);
CREATE INDEX tenants_by_state ON tenants (state, created_at, id);
INSERT INTO tenants (id, name, created_at, updated_at)
  SELECT tenant_id, tenant_id, min(created_at), min(created_at) FROM api_keys GROUP BY tenant_id;

CREATE TABLE scoped_api_keys (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('viewer', 'member', 'admin', 'owner')),
  scope TEXT NOT NULL,
  is_operator INTEGER NOT NULL DEFAULT 0 CHECK (is_operator IN (0, 1)),
  hash TEXT NOT NULL UNIQUE,
  hint TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER,
  last_used_at INTEGER,
  PRIMARY KEY (tenant_id, id)
) STRICT;
INSERT INTO scoped_api_keys (tenant_id, id, name, role, scope, is_operator, hash, hint, created_by, created_at)
  SELECT tenant_id, id, name, CASE WHEN tenant_id = 'default' THEN 'owner' ELSE role END, '{"type":"tenant"}',
    CASE WHEN tenant_id = 'default' THEN 1 ELSE 0 END, hash, '', 'system', created_at FROM api_keys;
DROP TABLE api_keys;
ALTER TABLE scoped_api_keys RENAME TO api_keys;
CREATE INDEX api_keys_by_creation ON api_keys (tenant_id, created_at, id, revoked_at);

CREATE TABLE users (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL UNIQUE,
  email TEXT NOT NULL,
  name TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('viewer', 'member', 'admin', 'owner')),
  state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled')),
  password TEXT,
  subject TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  last_sign_in_at INTEGER,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, email),
  UNIQUE (tenant_id, subject)
) STRICT;
CREATE INDEX users_by_email ON users (email, created_at);
CREATE INDEX users_by_creation ON users (tenant_id, created_at, id);

CREATE TABLE invitations (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  email TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('viewer', 'member', 'admin', 'owner')),
  token_hash TEXT NOT NULL UNIQUE,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, email)
) STRICT;
CREATE INDEX invitations_by_creation ON invitations (tenant_id, created_at, id);
CREATE INDEX invitations_by_expiry ON invitations (expires_at);

CREATE TABLE sign_ins (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  hash TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, user_id, id),
  FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
) STRICT;
CREATE INDEX sign_ins_by_expiry ON sign_ins (expires_at);
`,
};
