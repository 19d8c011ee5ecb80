import type { Migration } from '../migrate.ts';

/**
 * The audit is a chain of entries that the database itself neither changes nor removes, but for those that a checkpoint
 * stands for. Approvals say when they expire, who answered, and what the answer covers.
 */
export const auditAndApprovals: Migration = {
  version: 12,
  name: 'audit-and-approvals',
  sql: `
CREATE TABLE audit_log (
  tenant_id TEXT NOT NULL,
  seq INTEGER NOT NULL,
  id TEXT NOT NULL,
  at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail TEXT,
  previous TEXT NOT NULL,
  key_id TEXT NOT NULL,
  mac TEXT NOT NULL,
  PRIMARY KEY (tenant_id, seq)
) STRICT;
CREATE UNIQUE INDEX audit_log_by_id ON audit_log (tenant_id, id);
CREATE INDEX audit_log_by_time ON audit_log (tenant_id, at);
CREATE INDEX audit_log_by_subject ON audit_log (tenant_id, subject, seq);

CREATE TABLE audit_heads (
  tenant_id TEXT NOT NULL PRIMARY KEY,
  seq INTEGER NOT NULL,
  mac TEXT NOT NULL,
  key_id TEXT NOT NULL,
  head_mac TEXT NOT NULL
) STRICT;

CREATE TABLE audit_checkpoints (
  tenant_id TEXT NOT NULL,
  through_seq INTEGER NOT NULL,
  last_mac TEXT NOT NULL,
  key_id TEXT NOT NULL,
  sealed_at INTEGER NOT NULL,
  mac TEXT NOT NULL,
  PRIMARY KEY (tenant_id, through_seq)
) STRICT;

CREATE TRIGGER audit_log_unchanged BEFORE UPDATE ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_log_kept BEFORE DELETE ON audit_log
WHEN NOT EXISTS (SELECT 1 FROM audit_checkpoints c WHERE c.tenant_id = OLD.tenant_id AND c.through_seq >= OLD.seq)
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_checkpoints_unchanged BEFORE UPDATE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_checkpoints_kept BEFORE DELETE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_heads_forward BEFORE UPDATE ON audit_heads WHEN NEW.seq <= OLD.seq
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_heads_kept BEFORE DELETE ON audit_heads
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;

ALTER TABLE approvals ADD COLUMN kind TEXT NOT NULL DEFAULT 'tool' CHECK (kind IN ('tool', 'budget'));
ALTER TABLE approvals ADD COLUMN input_hash TEXT;
ALTER TABLE approvals ADD COLUMN rule TEXT;
ALTER TABLE approvals ADD COLUMN expires_at INTEGER;
ALTER TABLE approvals ADD COLUMN decided_by TEXT;
ALTER TABLE approvals ADD COLUMN scope TEXT CHECK (scope IN ('once', 'session'));
ALTER TABLE approvals ADD COLUMN raise_micros INTEGER;
CREATE INDEX approvals_by_id ON approvals (tenant_id, id);
CREATE INDEX approvals_by_creation ON approvals (tenant_id, created_at, id);
CREATE INDEX approvals_expiring ON approvals (expires_at) WHERE state = 'pending';
`,
};
