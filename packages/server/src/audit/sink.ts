import type { Clock } from '../base/clock.ts';
import { isPlatformError, PlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { Logger } from '../base/log.ts';
import type { AuditEntry, AuditSink } from '../core/audit.ts';
import type { AuditSeals } from '../core/audit-chain.ts';
import type { AuditStore, NewAuditEntry } from '../store/store.ts';

export interface AuditSinkDeps {
  readonly store: AuditStore;
  readonly seals: AuditSeals;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface RunningAudit extends AuditSink {
  /** As `record`, for those who cannot wait: a failure is logged, and the entry is written later. */
  tell(entry: AuditEntry): void;
  /** Resolves when all that was recorded is on disk. */
  flush(): Promise<void>;
  /** How many entries wait for the database. */
  waiting(): number;
  close(): Promise<void>;
}

interface Waiting {
  readonly entry: NewAuditEntry;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

const RETRY_MS = 1000;
/** Entries in one commit. */
const BATCH = 200;
/** Beyond this the acts themselves are refused: none goes on unrecorded. */
const MAX_WAITING = 50_000;
const FULL = 'The audit cannot be written, and what is not recorded is not done.';

/** Writes each tenant's entries in the order in which they came; those of one moment share a commit. */
export function createAuditSink({ store, seals, clock, log }: AuditSinkDeps): RunningAudit {
  const queues = new Map<string, Waiting[]>();
  const working = new Map<string, Promise<void>>();
  let count = 0;

  function start(tenantId: string): void {
    if (working.has(tenantId)) return;
    // What else is recorded in this moment comes along.
    const work = Promise.resolve().then(() => writeAll(tenantId));
    working.set(
      tenantId,
      work.then(
        () => {
          working.delete(tenantId);
          // What came after the last look found somebody at work, who was about to leave.
          if (queues.has(tenantId)) start(tenantId);
        },
        (error: unknown) => {
          working.delete(tenantId);
          log.error({ err: error, waiting: count }, 'the audit could not be written; it is tried again');
          clock.after(RETRY_MS, () => start(tenantId));
        },
      ),
    );
  }

  async function writeAll(tenantId: string): Promise<void> {
    for (;;) {
      const queue = queues.get(tenantId) ?? [];
      const batch = queue.slice(0, BATCH);
      if (batch.length === 0) {
        queues.delete(tenantId);
        return;
      }
      try {
        await store.append({ tenantId, entries: batch.map(({ entry }) => entry), seal: seals.current });
      } catch (error) {
        for (const { reject } of batch) reject(error);
        throw error;
      }
      queue.splice(0, batch.length);
      count -= batch.length;
      for (const { resolve } of batch) resolve();
    }
  }

  function record(told: AuditEntry): Promise<void> {
    const { tenantId } = told;
    if (count >= MAX_WAITING) return Promise.reject(new PlatformError('store_unavailable', { detail: FULL }));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const queue = queues.get(tenantId) ?? [];
    queues.set(tenantId, queue);
    queue.push({ entry: toNewEntry(told, clock.now()), resolve, reject });
    count++;
    start(tenantId);
    return promise;
  }

  async function flush(): Promise<void> {
    while (working.size > 0) await Promise.allSettled(working.values());
    const [left] = queues.keys();
    if (left !== undefined) throw new PlatformError('store_unavailable', { detail: 'Entries of the audit wait for the database.' });
  }

  return {
    record,
    tell(entry) {
      record(entry).catch((error: unknown) => {
        if (!isPlatformError(error)) log.error({ err: error }, 'an entry of the audit was not written');
      });
    },
    flush,
    waiting: () => count,
    close: () =>
      flush().catch((error: unknown) => log.error({ err: error, waiting: count }, 'the last entries of the audit could not be written')),
  };
}

function toNewEntry({ actor, action, subject, detail }: AuditEntry, at: number): NewAuditEntry {
  return { id: newId('audit'), at, actor, action, subject, detail: detail === undefined ? null : JSON.stringify(detail) };
}
