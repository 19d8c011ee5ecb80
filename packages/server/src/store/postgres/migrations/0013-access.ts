import type { Migration } from '../../sql/migrations.ts';

/** Tenants, their people and how these get in, and keys that reach a part of a tenant. The first keys were all of one kind. */
export const access: Migration = {
  version: 13,
  name: 'access',
  sql: `
CREATE TABLE tenants (
  id TEXT COLLATE "C" PRIMARY KEY,
  name TEXT COLLATE "C" NOT NULL,
  state TEXT COLLATE "C" NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended', 'deleting')),
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX tenants_by_creation ON tenants (created_at, id);
CREATE INDEX tenants_by_state ON tenants (state, created_at, id);
INSERT INTO tenants (id, name, created_at, updated_at)
  SELECT tenant_id, tenant_id, min(created_at), min(created_at) FROM api_keys GROUP BY tenant_id;

CREATE TABLE scoped_api_keys (
  tenant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  role TEXT COLLATE "C" NOT NULL CHECK (role IN ('viewer', 'member', 'admin', 'owner')),
  scope TEXT COLLATE "C" NOT NULL,
  is_operator BIGINT NOT NULL DEFAULT 0 CHECK (is_operator IN (0, 1)),
  hash TEXT COLLATE "C" NOT NULL UNIQUE,
  hint TEXT COLLATE "C" NOT NULL,
  created_by TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT,
  revoked_at BIGINT,
  last_used_at BIGINT,
  PRIMARY KEY (tenant_id, id)
);
INSERT INTO scoped_api_keys (tenant_id, id, name, role, scope, is_operator, hash, hint, created_by, created_at)
  SELECT tenant_id, id, name, CASE WHEN tenant_id = 'default' THEN 'owner' ELSE role END, '{"type":"tenant"}',
    CASE WHEN tenant_id = 'default' THEN 1 ELSE 0 END, hash, '', 'system', created_at FROM api_keys;
DROP TABLE api_keys;
ALTER TABLE scoped_api_keys RENAME TO api_keys;
CREATE INDEX api_keys_by_creation ON api_keys (tenant_id, created_at, id, revoked_at);

CREATE TABLE users (
  tenant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL UNIQUE,
  email TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  role TEXT COLLATE "C" NOT NULL CHECK (role IN ('viewer', 'member', 'admin', 'owner')),
  state TEXT COLLATE "C" NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled')),
  password TEXT COLLATE "C",
  subject TEXT COLLATE "C",
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  last_sign_in_at BIGINT,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, email),
  UNIQUE (tenant_id, subject)
);
CREATE INDEX users_by_email ON users (email, created_at);
CREATE INDEX users_by_creation ON users (tenant_id, created_at, id);

CREATE TABLE invitations (
  tenant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  email TEXT COLLATE "C" NOT NULL,
  role TEXT COLLATE "C" NOT NULL CHECK (role IN ('viewer', 'member', 'admin', 'owner')),
  token_hash TEXT COLLATE "C" NOT NULL UNIQUE,
  created_by TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, email)
);
CREATE INDEX invitations_by_creation ON invitations (tenant_id, created_at, id);
CREATE INDEX invitations_by_expiry ON invitations (expires_at);

CREATE TABLE sign_ins (
  tenant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  user_id TEXT COLLATE "C" NOT NULL,
  hash TEXT COLLATE "C" NOT NULL UNIQUE,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, user_id, id),
  FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
CREATE INDEX sign_ins_by_expiry ON sign_ins (expires_at);
`,
};
