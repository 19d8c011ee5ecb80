import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { EgressReport } from '../core/egress-report.ts';
import type { EgressEnding, EgressRecord, EgressStore, EgressUsage, SessionKey } from '../store/store.ts';
import { createAuditQueue, MAX_WAITING } from './audit-queue.ts';

/** Keeps every decision of the gateway, off its way: nothing here ever makes a connection wait. */
export interface EgressAudit extends EgressReport {
  add(record: EgressRecord): void;
  /** The connection of an earlier record is over. */
  end(ending: EgressEnding): void;
  /** A session has used this much more. */
  use(session: SessionKey, used: EgressUsage): void;
  /** What a session has used over its life, this server's last second included. */
  usage(session: SessionKey): Promise<EgressUsage>;
  close(): Promise<void>;
}

export interface EgressAuditOptions {
  readonly store: EgressStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly rowsPerSession: number;
}

const FLUSH_MS = 1000;
/** A session's rows are counted down to what is kept after this many new ones. */
const TRIM_EVERY = 500;

export function createEgressAudit({ store, clock, log, rowsPerSession }: EgressAuditOptions): EgressAudit {
  const queue = createAuditQueue();
  const trimmer = createTrimmer(store, rowsPerSession);
  const counts = new Map<string, { outcome: string; reason: string; count: number }>();
  let bytes = 0;
  let hasWarned = false;
  let flushing: Promise<void> = Promise.resolve();

  async function write(): Promise<void> {
    for (let batch = queue.take(); batch !== undefined; batch = queue.take()) {
      try {
        await store.record(batch);
      } catch (error) {
        queue.putBack(batch);
        throw error;
      }
      await trimmer.after(batch.records);
    }
  }

  function flush(): Promise<void> {
    flushing = flushing.catch(() => undefined).then(write);
    return flushing;
  }

  const cancel = clock.every(FLUSH_MS, () => {
    if (queue.dropped() > 0 && !hasWarned) log.warn('decisions of the gateway come faster than they can be kept; some are only counted');
    hasWarned = queue.dropped() > 0;
    flush().catch((error: unknown) => log.warn({ err: error }, 'the audit of the gateway could not be written; it is tried again'));
  });

  return {
    add(record) {
      const key = `${record.outcome} ${record.reason}`;
      const counter = counts.get(key) ?? { outcome: record.outcome, reason: record.reason, count: 0 };
      counter.count++;
      counts.set(key, counter);
      queue.add(record);
    },
    end: queue.end,
    use(session, more) {
      bytes += more.bytes;
      queue.use(session, more);
    },
    async usage({ tenantId, sessionId }) {
      // What waits goes first, so that nothing is counted twice or not at all.
      await flush();
      return store.usage({ tenantId, sessionId });
    },
    counts: () => [...counts.values()],
    bytes: () => bytes,
    dropped: queue.dropped,
    flush,
    async close() {
      cancel();
      await flush().catch((error: unknown) => log.warn({ err: error }, 'the last decisions of the gateway could not be written'));
    },
  };
}

/** Keeps the rows of each session below a bound, without counting them at each write. */
function createTrimmer(store: EgressStore, keep: number): { after(records: readonly EgressRecord[]): Promise<void> } {
  const untrimmed = new Map<string, SessionKey & { rows: number }>();
  return {
    async after(records) {
      for (const { tenantId, sessionId } of records) {
        const known = untrimmed.get(sessionId) ?? { tenantId, sessionId, rows: 0 };
        known.rows++;
        untrimmed.set(sessionId, known);
      }
      for (const [id, { tenantId, sessionId, rows }] of untrimmed) {
        if (rows < TRIM_EVERY) continue;
        untrimmed.delete(id);
        await store.trim({ tenantId, sessionId, keep, limit: TRIM_EVERY * 2 });
      }
      // Sessions that never come to it stay below the bound by their age alone.
      if (untrimmed.size > MAX_WAITING) untrimmed.clear();
    },
  };
}
