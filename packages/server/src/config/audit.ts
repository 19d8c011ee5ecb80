import { type Environment, integer, limit, secret, times } from './values.ts';

const DAY_MS = 24 * 3_600_000;

export interface AuditSettings {
  /** 32 bytes in base64 or hex, several apart by commas, the first to seal with; undefined for the file in DATA_DIR/keys. */
  readonly keys: string | undefined;
  /** Entries older than this are sealed by a checkpoint and removed; undefined keeps all. */
  readonly retentionMs: number | undefined;
}

export function auditSettings(env: Environment): AuditSettings {
  return {
    keys: secret(env, 'CLOISTER_AUDIT_KEY'),
    retentionMs: times(limit(env, 'AUDIT_RETENTION_DAYS', { max: 36_500 }), DAY_MS),
  };
}

/** How long a question to a person stays open. */
export function approvalTimeoutMs(env: Environment): number {
  return integer(env, 'APPROVAL_TIMEOUT_SECONDS', 86_400, { min: 1, max: 31_536_000 }) * 1000;
}
