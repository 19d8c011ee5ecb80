import type { AuditSeal, SealedCheckpoint, SealedEntry, SealedHead } from '../../core/audit-chain.ts';
import type { CreatedRange, Page, PageInput } from './common.ts';

/** An entry before it has its place in the chain. */
export type NewAuditEntry = Pick<SealedEntry, 'id' | 'at' | 'actor' | 'action' | 'subject' | 'detail'>;

/** What a proof of a chain reads. */
export interface AuditReader {
  /** The entries after a place, in the order of the chain. */
  after(input: { tenantId: string; seq: number; limit: number }): Promise<readonly SealedEntry[]>;
  head(input: { tenantId: string }): Promise<SealedHead | undefined>;
  checkpoints(input: { tenantId: string }): Promise<readonly SealedCheckpoint[]>;
  /** Every tenant that has a chain, or entries without one. */
  tenants(): Promise<readonly string[]>;
}

/** The chains of all tenants. Entries are only ever added; the database refuses to change or remove one. */
export interface AuditStore extends AuditReader {
  /**
   * Puts entries at the end of the tenant's chain, in one commit that no other on any server comes between. Those that
   * are in it already are left out, so that a commit of unknown outcome may be repeated.
   */
  append(input: { tenantId: string; entries: readonly NewAuditEntry[]; seal: AuditSeal }): Promise<void>;
  list(
    input: {
      tenantId: string;
      actor?: string | undefined;
      actions?: readonly string[] | undefined;
      subject?: string | undefined;
    } & PageInput &
      CreatedRange,
  ): Promise<Page<SealedEntry>>;
  /** The entries after a place, in the order of the chain. */
  after(input: { tenantId: string; seq: number; limit: number }): Promise<readonly SealedEntry[]>;
  head(input: { tenantId: string }): Promise<SealedHead | undefined>;
  checkpoints(input: { tenantId: string }): Promise<readonly SealedCheckpoint[]>;
  /** Every tenant that has a chain, or entries without one. */
  tenants(): Promise<readonly string[]>;
  /**
   * Seals the entries from before `before` with a checkpoint and removes at most `limit` that are sealed. The newest
   * entry always stays. `entry` tells of it in the chain. Answers how many were removed.
   */
  purge(input: {
    tenantId: string;
    before: number;
    limit: number;
    seal: AuditSeal;
    entry: (throughSeq: number) => NewAuditEntry;
    now: number;
  }): Promise<number>;
}
