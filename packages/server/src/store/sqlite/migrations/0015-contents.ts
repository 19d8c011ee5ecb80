import type { Migration } from '../migrate.ts';

/**
 * What clients give into keeping: files and skills, whose bytes lie in pieces of base64, and memory stores, whose texts
 * are rows with all their versions. A session keeps which of them it was given.
 */
export const contents: Migration = {
  version: 15,
  name: 'contents',
  sql: `
CREATE TABLE blobs (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  sha256 TEXT,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, id)
) STRICT;
CREATE INDEX blobs_unnamed ON blobs (tenant_id, created_at) WHERE sha256 IS NULL;

CREATE TABLE blob_chunks (
  tenant_id TEXT NOT NULL,
  blob_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (tenant_id, blob_id, number),
  FOREIGN KEY (tenant_id, blob_id) REFERENCES blobs (tenant_id, id)
) STRICT;

CREATE TABLE files (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  blob_id TEXT NOT NULL,
  filename TEXT NOT NULL,
  mime_type TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  expires_at INTEGER,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, blob_id) REFERENCES blobs (tenant_id, id)
) STRICT;
CREATE INDEX files_by_time ON files (tenant_id, created_at, id);
CREATE INDEX files_by_expiry ON files (tenant_id, expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX files_by_blob ON files (tenant_id, blob_id);

CREATE TABLE skills (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  display_name TEXT NOT NULL,
  latest_version_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, id)
) STRICT;
CREATE INDEX skills_by_time ON skills (tenant_id, created_at, id);

CREATE TABLE skill_versions (
  tenant_id TEXT NOT NULL,
  skill_id TEXT NOT NULL,
  id TEXT NOT NULL,
  blob_id TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, skill_id, id),
  FOREIGN KEY (tenant_id, skill_id) REFERENCES skills (tenant_id, id),
  FOREIGN KEY (tenant_id, blob_id) REFERENCES blobs (tenant_id, id)
) STRICT;
CREATE INDEX skill_versions_by_time ON skill_versions (tenant_id, skill_id, created_at, id);
CREATE INDEX skill_versions_by_blob ON skill_versions (tenant_id, blob_id);

CREATE TABLE memory_stores (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  metadata TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  archived_at INTEGER,
  PRIMARY KEY (tenant_id, id)
) STRICT;
CREATE INDEX memory_stores_by_time ON memory_stores (tenant_id, created_at, id);

CREATE TABLE memories (
  tenant_id TEXT NOT NULL,
  store_id TEXT NOT NULL,
  id TEXT NOT NULL,
  path TEXT NOT NULL,
  content TEXT NOT NULL,
  content_sha256 TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  version_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, store_id, id),
  UNIQUE (tenant_id, store_id, path),
  FOREIGN KEY (tenant_id, store_id) REFERENCES memory_stores (tenant_id, id)
) STRICT;

CREATE TABLE memory_versions (
  tenant_id TEXT NOT NULL,
  store_id TEXT NOT NULL,
  id TEXT NOT NULL,
  memory_id TEXT NOT NULL,
  operation TEXT NOT NULL CHECK (operation IN ('created', 'modified', 'deleted')),
  path TEXT,
  content TEXT,
  content_sha256 TEXT,
  size_bytes INTEGER,
  actor TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  redacted_at INTEGER,
  redacted_by TEXT,
  PRIMARY KEY (tenant_id, store_id, id),
  FOREIGN KEY (tenant_id, store_id) REFERENCES memory_stores (tenant_id, id)
) STRICT;
CREATE INDEX memory_versions_by_time ON memory_versions (tenant_id, store_id, created_at, id);
CREATE INDEX memory_versions_by_memory ON memory_versions (tenant_id, store_id, memory_id, created_at, id);

ALTER TABLE session_definitions ADD COLUMN resources TEXT NOT NULL DEFAULT '[]';
`,
};
