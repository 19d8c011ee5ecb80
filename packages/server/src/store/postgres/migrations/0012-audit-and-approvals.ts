import type { Migration } from '../../sql/migrations.ts';

/**
 * The audit is a chain of entries that the database itself neither changes nor removes, but for those that a checkpoint
 * stands for. Approvals say when they expire, who answered, and what the answer covers.
 */
export const auditAndApprovals: Migration = {
  version: 12,
  name: 'audit-and-approvals',
  sql: `
CREATE TABLE audit_log (
  tenant_id TEXT COLLATE "C" NOT NULL,
  seq BIGINT NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  at BIGINT NOT NULL,
  actor TEXT COLLATE "C" NOT NULL,
  action TEXT COLLATE "C" NOT NULL,
  subject TEXT COLLATE "C" NOT NULL,
  detail TEXT COLLATE "C",
  previous TEXT COLLATE "C" NOT NULL,
  key_id TEXT COLLATE "C" NOT NULL,
  mac TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant_id, seq)
);
CREATE UNIQUE INDEX audit_log_by_id ON audit_log (tenant_id, id);
CREATE INDEX audit_log_by_time ON audit_log (tenant_id, at);
CREATE INDEX audit_log_by_subject ON audit_log (tenant_id, subject, seq);

CREATE TABLE audit_heads (
  tenant_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  seq BIGINT NOT NULL,
  mac TEXT COLLATE "C" NOT NULL,
  key_id TEXT COLLATE "C" NOT NULL,
  head_mac TEXT COLLATE "C" NOT NULL
);

CREATE TABLE audit_checkpoints (
  tenant_id TEXT COLLATE "C" NOT NULL,
  through_seq BIGINT NOT NULL,
  last_mac TEXT COLLATE "C" NOT NULL,
  key_id TEXT COLLATE "C" NOT NULL,
  sealed_at BIGINT NOT NULL,
  mac TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant_id, through_seq)
);

CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the audit is append-only'; END $$;
CREATE FUNCTION keep_audit_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM audit_checkpoints c WHERE c.tenant_id = OLD.tenant_id AND c.through_seq >= OLD.seq)
  THEN RAISE EXCEPTION 'the audit is append-only'; END IF;
  RETURN OLD;
END $$;
CREATE FUNCTION keep_audit_whole() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF to_regclass('unfinished_move') IS NULL THEN RAISE EXCEPTION 'the audit is append-only'; END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER audit_log_unchanged BEFORE UPDATE ON audit_log FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_log_kept BEFORE DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION keep_audit_entry();
CREATE TRIGGER audit_log_whole BEFORE TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION keep_audit_whole();
CREATE TRIGGER audit_checkpoints_unchanged BEFORE UPDATE OR DELETE ON audit_checkpoints
  FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_checkpoints_whole BEFORE TRUNCATE ON audit_checkpoints FOR EACH STATEMENT EXECUTE FUNCTION keep_audit_whole();
CREATE TRIGGER audit_heads_forward BEFORE UPDATE ON audit_heads FOR EACH ROW WHEN (NEW.seq <= OLD.seq)
  EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_heads_kept BEFORE DELETE ON audit_heads FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_heads_whole BEFORE TRUNCATE ON audit_heads FOR EACH STATEMENT EXECUTE FUNCTION keep_audit_whole();

ALTER TABLE approvals ADD COLUMN kind TEXT COLLATE "C" NOT NULL DEFAULT 'tool' CHECK (kind IN ('tool', 'budget'));
ALTER TABLE approvals ADD COLUMN input_hash TEXT COLLATE "C";
ALTER TABLE approvals ADD COLUMN rule TEXT COLLATE "C";
ALTER TABLE approvals ADD COLUMN expires_at BIGINT;
ALTER TABLE approvals ADD COLUMN decided_by TEXT COLLATE "C";
ALTER TABLE approvals ADD COLUMN scope TEXT COLLATE "C" CHECK (scope IN ('once', 'session'));
ALTER TABLE approvals ADD COLUMN raise_micros BIGINT;
CREATE INDEX approvals_by_id ON approvals (tenant_id, id);
CREATE INDEX approvals_by_creation ON approvals (tenant_id, created_at, id);
CREATE INDEX approvals_expiring ON approvals (expires_at) WHERE state = 'pending';
`,
};
