import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { PlatformError } from '../base/errors.ts';
import { makeFirst } from '../base/first-file.ts';
import type { Logger } from '../base/log.ts';
import { AUDIT_KEY_BYTES, type AuditSeals, createAuditSeal } from '../core/audit-chain.ts';
import type { AuditStore } from '../store/store.ts';

export interface AuditKeyOptions {
  readonly dataDir: string;
  /** As the settings give them; undefined for those of the file. */
  readonly keys: string | undefined;
  /** Make a key where there is none; whoever only verifies must not. */
  readonly mayMake: boolean;
}

/** The keys of the audit, which are never in the database. Throws `config_invalid`. */
export function openAuditSeals({ dataDir, keys, mayMake }: AuditKeyOptions): AuditSeals {
  const file = path.join(dataDir, 'keys', 'audit.key');
  const seals = (keys === undefined ? parseKeys(file, readOrMake(file, mayMake)) : parseKeys('CLOISTER_AUDIT_KEY', keys)).map(
    createAuditSeal,
  );
  const [current] = seals;
  if (current === undefined) throw invalid(keys === undefined ? file : 'CLOISTER_AUDIT_KEY', 'it holds no key');
  return { current, find: (keyId) => seals.find((one) => one.keyId === keyId) };
}

/** Each server has to have the keys of all: else none can prove the whole chain. */
export async function warnOfOtherKeys(audit: Pick<AuditStore, 'head'>, tenantId: string, seals: AuditSeals, log: Logger): Promise<void> {
  const head = await audit.head({ tenantId });
  if (head === undefined || seals.find(head.keyId) !== undefined) return;
  log.warn(
    { chain: head.keyId, own: seals.current.keyId },
    'the audit was written with a key that this server has not, so it cannot prove it: give all servers the same CLOISTER_AUDIT_KEY',
  );
}

function readOrMake(file: string, mayMake: boolean): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    const isMissing = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
    if (!isMissing || !mayMake) throw invalid(file, isMissing ? 'there is no such file' : 'it cannot be read', cause);
  }
  try {
    makeFirst(file, `${randomBytes(AUDIT_KEY_BYTES).toString('base64')}\n`);
  } catch (cause) {
    throw invalid(file, 'it cannot be written', cause);
  }
  return readFileSync(file, 'utf8');
}

function parseKeys(name: string, text: string): Buffer[] {
  return text
    .split(/[\s,]+/)
    .filter((word) => word !== '')
    .map((word) => {
      const key = /^[0-9a-f]{64}$/i.test(word) ? Buffer.from(word, 'hex') : Buffer.from(word, 'base64');
      if (key.length === AUDIT_KEY_BYTES && new Set(key).size >= 8) return key;
      throw invalid(name, `a key is ${AUDIT_KEY_BYTES} random bytes in base64 or hex, such as \`openssl rand -base64 32\` makes`);
    });
}

function invalid(name: string, why: string, cause?: unknown): PlatformError {
  return new PlatformError('config_invalid', { detail: `${name}: ${why}.`, cause });
}
