import { createHash, createHmac, hkdfSync } from 'node:crypto';

/**
 * The audit of a tenant is a chain: each entry's MAC covers the entry, its place and the MAC before it, so that none can
 * be changed, taken out, put in or moved without the key, which is not in the database. The head, which says where the
 * chain ends, has a MAC of its own; a head that was copied elsewhere shows that nothing was cut off since.
 */
export interface ChainEntry {
  readonly tenantId: string;
  /** 1, 2, 3 … within the tenant, without a gap. */
  readonly seq: number;
  readonly id: string;
  readonly at: number;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  /** JSON, byte for byte as it is kept. */
  readonly detail: string | null;
  /** The MAC of the entry before; empty for the first one. */
  readonly previous: string;
  /** Which key made its MAC. */
  readonly keyId: string;
}

export interface SealedEntry extends ChainEntry {
  readonly mac: string;
}

/** Where a chain ends. */
export interface ChainHead {
  readonly tenantId: string;
  readonly seq: number;
  /** Of the last entry. */
  readonly mac: string;
}

export interface SealedHead extends ChainHead {
  readonly keyId: string;
  readonly headMac: string;
}

/** Stands for the entries up to it, which are kept no longer. */
export interface ChainCheckpoint {
  readonly tenantId: string;
  readonly throughSeq: number;
  /** Of the last entry that it stands for. */
  readonly lastMac: string;
  readonly sealedAt: number;
  readonly keyId: string;
}

export interface SealedCheckpoint extends ChainCheckpoint {
  readonly mac: string;
}

/** Makes the MACs. */
export interface AuditSeal {
  /** Tells one key from another and says nothing of either. */
  readonly keyId: string;
  entry(entry: ChainEntry): string;
  head(head: ChainHead): string;
  checkpoint(checkpoint: ChainCheckpoint): string;
}

/** The keys that are here: the current one, and those of before or of other servers. */
export interface AuditSeals {
  readonly current: AuditSeal;
  find(keyId: string): AuditSeal | undefined;
}

export const AUDIT_KEY_BYTES = 32;

/** `secret` is 32 random bytes; each kind of MAC has a key of its own made from it. */
export function createAuditSeal(secret: Buffer): AuditSeal {
  const keyOf = (use: string) => Buffer.from(hkdfSync('sha256', secret, '', `cloister audit ${use}`, 32));
  const keys = { entry: keyOf('entry'), head: keyOf('head'), checkpoint: keyOf('checkpoint') };
  const mac = (key: Buffer, fields: readonly (string | number | null)[]) =>
    createHmac('sha256', key).update(JSON.stringify(fields)).digest('base64url');
  return {
    keyId: createHash('sha256').update(keyOf('id')).digest('hex').slice(0, 16),
    entry: ({ tenantId, seq, id, at, actor, action, subject, detail, previous, keyId }) =>
      mac(keys.entry, [1, tenantId, seq, id, at, actor, action, subject, detail, previous, keyId]),
    head: ({ tenantId, seq, mac: last }) => mac(keys.head, [1, tenantId, seq, last]),
    checkpoint: ({ tenantId, throughSeq, lastMac, sealedAt, keyId }) =>
      mac(keys.checkpoint, [1, tenantId, throughSeq, lastMac, sealedAt, keyId]),
  };
}
