import type { Migration } from '../../sql/migrations.ts';

/**
 * What clients give into keeping: files and skills, whose bytes lie in pieces of base64, and memory stores, whose texts
 * are rows with all their versions. A session keeps which of them it was given.
 */
export const contents: Migration = {
  version: 15,
  name: 'contents',
  sql: `
CREATE TABLE blobs (
  tenant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  size_bytes BIGINT NOT NULL,
  sha256 TEXT COLLATE "C",
  created_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX blobs_unnamed ON blobs (tenant_id, created_at) WHERE sha256 IS NULL;

CREATE TABLE blob_chunks (
  tenant_id TEXT COLLATE "C" NOT NULL,
  blob_id TEXT COLLATE "C" NOT NULL,
  number BIGINT NOT NULL,
  data TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant_id, blob_id, number),
  FOREIGN KEY (tenant_id, blob_id) REFERENCES blobs (tenant_id, id)
);

CREATE TABLE files (
  tenant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  blob_id TEXT COLLATE "C" NOT NULL,
  filename TEXT COLLATE "C" NOT NULL,
  mime_type TEXT COLLATE "C" NOT NULL,
  size_bytes BIGINT NOT NULL,
  expires_at BIGINT,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, blob_id) REFERENCES blobs (tenant_id, id)
);
CREATE INDEX files_by_time ON files (tenant_id, created_at, id);
CREATE INDEX files_by_expiry ON files (tenant_id, expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX files_by_blob ON files (tenant_id, blob_id);

CREATE TABLE skills (
  tenant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  display_name TEXT COLLATE "C" NOT NULL,
  latest_version_id TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX skills_by_time ON skills (tenant_id, created_at, id);

CREATE TABLE skill_versions (
  tenant_id TEXT COLLATE "C" NOT NULL,
  skill_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  blob_id TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  description TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, skill_id, id),
  FOREIGN KEY (tenant_id, skill_id) REFERENCES skills (tenant_id, id),
  FOREIGN KEY (tenant_id, blob_id) REFERENCES blobs (tenant_id, id)
);
CREATE INDEX skill_versions_by_time ON skill_versions (tenant_id, skill_id, created_at, id);
CREATE INDEX skill_versions_by_blob ON skill_versions (tenant_id, blob_id);

CREATE TABLE memory_stores (
  tenant_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  description TEXT COLLATE "C" NOT NULL,
  metadata TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  archived_at BIGINT,
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX memory_stores_by_time ON memory_stores (tenant_id, created_at, id);

CREATE TABLE memories (
  tenant_id TEXT COLLATE "C" NOT NULL,
  store_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  path TEXT COLLATE "C" NOT NULL,
  content TEXT COLLATE "C" NOT NULL,
  content_sha256 TEXT COLLATE "C" NOT NULL,
  size_bytes BIGINT NOT NULL,
  version_id TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, store_id, id),
  UNIQUE (tenant_id, store_id, path),
  FOREIGN KEY (tenant_id, store_id) REFERENCES memory_stores (tenant_id, id)
);

CREATE TABLE memory_versions (
  tenant_id TEXT COLLATE "C" NOT NULL,
  store_id TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  memory_id TEXT COLLATE "C" NOT NULL,
  operation TEXT COLLATE "C" NOT NULL CHECK (operation IN ('created', 'modified', 'deleted')),
  path TEXT COLLATE "C",
  content TEXT COLLATE "C",
  content_sha256 TEXT COLLATE "C",
  size_bytes BIGINT,
  actor TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  redacted_at BIGINT,
  redacted_by TEXT COLLATE "C",
  PRIMARY KEY (tenant_id, store_id, id),
  FOREIGN KEY (tenant_id, store_id) REFERENCES memory_stores (tenant_id, id)
);
CREATE INDEX memory_versions_by_time ON memory_versions (tenant_id, store_id, created_at, id);
CREATE INDEX memory_versions_by_memory ON memory_versions (tenant_id, store_id, memory_id, created_at, id);

ALTER TABLE session_definitions ADD COLUMN resources TEXT COLLATE "C" NOT NULL DEFAULT '[]';
`,
};
