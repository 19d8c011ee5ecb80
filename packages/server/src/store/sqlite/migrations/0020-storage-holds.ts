import type { Migration } from '../../sql/migrations.ts';

/** Snapshots count into a tenant's storage, and so does what is just being written. */
export const storageHolds: Migration = {
  version: 20,
  name: 'storage-holds',
  sql: `
ALTER TABLE session_storage ADD COLUMN snapshot_bytes INTEGER NOT NULL DEFAULT 0;

CREATE TABLE storage_holds (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, id)
) STRICT;
`,
};
