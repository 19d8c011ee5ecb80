import type { AuditEntry, AuditHead, AuditVerdict } from '@cloister/api';
import { mapPage } from '../agents/agents.ts';
import { toTimestamp } from '../base/clock.ts';
import { asJsonObject } from '../base/json.ts';
import type { AuditSeals, ChainHead, SealedEntry } from '../core/audit-chain.ts';
import { checkChain, type AuditVerdict as Verdict } from '../core/audit-verify.ts';
import type { AuditStore, CreatedRange, Page, PageInput } from '../store/store.ts';

interface AuditFilter extends CreatedRange {
  readonly actor?: string | undefined;
  readonly subject?: string | undefined;
  readonly actions?: readonly string[] | undefined;
}

/** What was recorded, to be read and proved. */
export interface AuditLog {
  list(tenantId: string, input: PageInput & AuditFilter): Promise<Page<AuditEntry>>;
  /** All of them in the order of the chain, read as they are taken. */
  lines(tenantId: string, filter: AuditFilter): AsyncGenerator<string>;
  head(tenantId: string): Promise<AuditHead>;
  verify(tenantId: string, exported?: Pick<ChainHead, 'seq' | 'mac'>): Promise<AuditVerdict>;
}

export interface AuditLogDeps {
  readonly store: AuditStore;
  readonly seals: AuditSeals;
  /** Writes what waits, so that it is in the answer. */
  readonly flush: () => Promise<void>;
}

const BATCH = 500;

export function createAuditLog({ store, seals, flush }: AuditLogDeps): AuditLog {
  return {
    async list(tenantId, input) {
      await flush();
      return mapPage(await store.list({ tenantId, ...input }), toEntry);
    },
    async *lines(tenantId, filter) {
      let page: string | undefined;
      do {
        const found = await store.list({ tenantId, ...filter, limit: BATCH, order: 'asc', page });
        for (const row of found.data) yield `${JSON.stringify(toEntry(row))}\n`;
        page = found.next ?? undefined;
      } while (page !== undefined);
    },
    async head(tenantId) {
      await flush();
      const head = await store.head({ tenantId });
      const { seq = 0, mac = '', keyId = seals.current.keyId } = head ?? {};
      return { type: 'audit_head', tenant_id: tenantId, seq, mac, key_id: keyId };
    },
    async verify(tenantId, exported) {
      await flush();
      return toVerdict(await verifyChain({ store, seals, tenantId, exported }));
    },
  };
}

/** Reads a tenant's chain from its beginning to where its head is now, and says what is wrong with it. */
export async function verifyChain({
  store,
  seals,
  tenantId,
  exported,
}: {
  readonly store: Pick<AuditStore, 'head' | 'checkpoints' | 'after'>;
  readonly seals: AuditSeals;
  readonly tenantId: string;
  readonly exported?: Pick<ChainHead, 'seq' | 'mac'> | undefined;
}): Promise<Verdict> {
  const head = await store.head({ tenantId });
  const checkpoints = await store.checkpoints({ tenantId });
  const check = checkChain({
    tenantId,
    seals,
    head,
    checkpoints,
    exported: exported === undefined ? undefined : { tenantId, ...exported },
  });
  let seq = 0;
  for (;;) {
    const entries = await store.after({ tenantId, seq, limit: BATCH });
    for (const entry of entries) check.take(entry);
    const last = entries.at(-1);
    if (last === undefined) break;
    seq = last.seq;
  }
  const verdict = check.end();
  // The chain may have grown while it was read: what came behind the head we began with is looked at again with the new one.
  const isGrown = verdict.findings.length === 1 && verdict.findings[0]?.kind === 'inserted';
  return isGrown && (await store.head({ tenantId }))?.seq !== head?.seq ? verifyChain({ store, seals, tenantId, exported }) : verdict;
}

function toEntry(row: SealedEntry): AuditEntry {
  return {
    id: row.id,
    type: 'audit_entry',
    seq: row.seq,
    at: toTimestamp(row.at),
    actor: row.actor,
    action: row.action,
    subject: row.subject,
    detail: row.detail === null ? null : { ...asJsonObject(JSON.parse(row.detail)) },
    previous: row.previous,
    key_id: row.keyId,
    mac: row.mac,
  };
}

export function toVerdict(verdict: Verdict): AuditVerdict {
  return {
    type: 'audit_verdict',
    tenant_id: verdict.tenantId,
    intact: verdict.isIntact,
    entries: verdict.entries,
    last_seq: verdict.lastSeq,
    sealed_through: verdict.sealedThrough,
    findings: verdict.findings.map(({ kind, fromSeq, toSeq, message }) => ({ kind, from_seq: fromSeq, to_seq: toSeq, message })),
  };
}
