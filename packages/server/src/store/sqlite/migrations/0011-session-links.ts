import type { Migration } from '../migrate.ts';

/** Names that clients of other APIs have for sessions. */
export const sessionLinks: Migration = {
  version: 11,
  name: 'session links',
  sql: `
CREATE TABLE session_links (
  tenant_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  session_id TEXT NOT NULL,
  turn_id TEXT,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, kind, name),
  FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id)
) STRICT;
CREATE INDEX session_links_by_session ON session_links (tenant_id, session_id, kind);
`,
};
