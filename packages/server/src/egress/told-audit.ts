import type { Clock } from '../base/clock.ts';
import type { AuditEntry } from '../core/audit.ts';
import type { EgressRecord } from '../store/store.ts';
import type { EgressAudit } from './audit.ts';

const TELL_MS = 2000;
const MAX_WAITING = 10_000;
/** Hosts that are remembered as used; one that was forgotten is told once more. */
const MAX_KNOWN = 20_000;

/**
 * Puts into the tenant's audit what matters of the gateway's decisions: each that denied, those alike of one moment
 * together, and the first use of each host by a session. All of them are in the gateway's own records.
 */
export function createToldAudit(
  audit: EgressAudit,
  { tell, clock }: { readonly tell: (entry: AuditEntry) => void; readonly clock: Clock },
): EgressAudit {
  const waiting = new Map<string, { readonly record: EgressRecord; times: number }>();
  const known = new Set<string>();

  function note(record: EgressRecord): void {
    const { sessionId, host, port, outcome, reason } = record;
    if (outcome === 'failed') return;
    const key = JSON.stringify([sessionId, host, port, outcome, outcome === 'denied' ? reason : '']);
    if (outcome === 'allowed') {
      if (known.has(key)) return;
      known.add(key);
      const [oldest] = known;
      if (known.size > MAX_KNOWN && oldest !== undefined) known.delete(oldest);
    }
    const same = waiting.get(key);
    if (same !== undefined) same.times += record.times;
    else if (waiting.size < MAX_WAITING) waiting.set(key, { record, times: record.times });
  }

  function tellAll(): void {
    for (const { record, times } of waiting.values()) tell(toEntry(record, times));
    waiting.clear();
  }

  const cancel = clock.every(TELL_MS, tellAll);
  return {
    ...audit,
    add(record) {
      audit.add(record);
      note(record);
    },
    async flush() {
      tellAll();
      await audit.flush();
    },
    async close() {
      cancel();
      tellAll();
      await audit.close();
    },
  };
}

function toEntry({ tenantId, sessionId, sandboxId, method, host, port, outcome, reason }: EgressRecord, times: number): AuditEntry {
  return {
    tenantId,
    actor: 'system',
    action: outcome === 'denied' ? 'egress.denied' : 'egress.host_used',
    subject: sessionId,
    detail: { host, port, method, reason, sandbox: sandboxId, times },
  };
}
