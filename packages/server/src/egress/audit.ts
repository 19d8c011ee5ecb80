import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { EgressEnding, EgressRecord, EgressStore, EgressUsage } from '../store/store.ts';

interface SessionOf {
  readonly tenantId: string;
  readonly sessionId: string;
}

/** Keeps every decision of the gateway, off its way: nothing here ever makes a connection wait. */
export interface EgressAudit {
  add(record: EgressRecord): void;
  /** The connection of an earlier record is over. */
  end(ending: EgressEnding): void;
  /** A session has used this much more. */
  use(session: SessionOf, used: EgressUsage): void;
  /** What a session has used over its life, this server's last second included. */
  usage(session: SessionOf): Promise<EgressUsage>;
  /** Decisions since the start, by outcome and reason. */
  counts(): readonly { readonly outcome: string; readonly reason: string; readonly count: number }[];
  bytes(): number;
  /** Records that were lost because the store did not keep up. */
  dropped(): number;
  /** Writes what waits; throws when the store does not take it, and it goes on waiting. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

export interface EgressAuditOptions {
  readonly store: EgressStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly rowsPerSession: number;
}

const FLUSH_MS = 1000;
const BATCH = 500;
const MAX_WAITING = 10_000;
/** A session's rows are counted down to what is kept after this many new ones. */
const TRIM_EVERY = 500;

interface Waiting {
  readonly records: Map<string, EgressRecord>;
  readonly endings: Map<string, EgressEnding>;
  /** By what was decided: the record that the next one of the same kind is added to. */
  readonly repeats: Map<string, string>;
}

export function createEgressAudit({ store, clock, log, rowsPerSession }: EgressAuditOptions): EgressAudit {
  const waiting: Waiting = { records: new Map(), endings: new Map(), repeats: new Map() };
  const used = new Map<string, SessionOf & EgressUsage>();
  const counts = new Map<string, { outcome: string; reason: string; count: number }>();
  const untrimmed = new Map<string, SessionOf & { rows: number }>();
  const totals = { bytes: 0, dropped: 0 };
  let flushing: Promise<void> = Promise.resolve();
  const cancel = clock.every(FLUSH_MS, () => {
    flush().catch((error: unknown) => log.warn({ err: error }, 'the audit of the gateway could not be written; it is tried again'));
  });

  function drop(count: number): void {
    if (totals.dropped === 0) log.warn('decisions of the gateway come faster than they can be kept; some are only counted');
    totals.dropped += count;
  }

  function merge(record: EgressRecord): boolean {
    if (record.outcome === 'allowed') return false;
    const key = JSON.stringify([record.sandboxId, record.way, record.method, record.host, record.port, record.outcome, record.reason]);
    const earlier = waiting.records.get(waiting.repeats.get(key) ?? '');
    if (waiting.repeats.size >= MAX_WAITING) waiting.repeats.clear();
    if (earlier === undefined) waiting.repeats.set(key, record.id);
    else waiting.records.set(earlier.id, { ...earlier, times: earlier.times + 1 });
    return earlier !== undefined;
  }

  async function write(): Promise<void> {
    while (waiting.records.size + waiting.endings.size + used.size > 0) {
      const records = [...waiting.records.values()].slice(0, BATCH);
      const endings = [...waiting.endings.values()].slice(0, BATCH);
      const spent = [...used.values()].slice(0, BATCH);
      // From here on a repeat is a record of its own, and an ending waits for the next batch.
      for (const { id } of records) waiting.records.delete(id);
      for (const { id } of endings) waiting.endings.delete(id);
      for (const { sessionId } of spent) used.delete(sessionId);
      waiting.repeats.clear();
      try {
        await store.record({ records, endings, used: spent });
      } catch (error) {
        putBack({ records, endings, spent });
        throw error;
      }
      for (const record of records) note(record);
      await trim();
    }
  }

  function putBack(batch: {
    records: readonly EgressRecord[];
    endings: readonly EgressEnding[];
    spent: Iterable<SessionOf & EgressUsage>;
  }) {
    const room = Math.max(0, MAX_WAITING - waiting.records.size);
    for (const record of batch.records.slice(0, room)) waiting.records.set(record.id, record);
    if (batch.records.length > room) drop(batch.records.length - room);
    for (const ending of batch.endings) waiting.endings.set(ending.id, ending);
    for (const one of batch.spent) addUse(one, one);
  }

  function note({ tenantId, sessionId }: EgressRecord): void {
    const known = untrimmed.get(sessionId) ?? { tenantId, sessionId, rows: 0 };
    known.rows++;
    untrimmed.set(sessionId, known);
  }

  async function trim(): Promise<void> {
    for (const [id, { tenantId, sessionId, rows }] of untrimmed) {
      if (rows < TRIM_EVERY) continue;
      untrimmed.delete(id);
      await store.trim({ tenantId, sessionId, keep: rowsPerSession, limit: TRIM_EVERY * 2 });
    }
    // Sessions that never come to it stay below the bound by their age alone.
    if (untrimmed.size > MAX_WAITING) untrimmed.clear();
  }

  function addUse({ tenantId, sessionId }: SessionOf, more: EgressUsage): void {
    const before = used.get(sessionId) ?? { requests: 0, bytes: 0 };
    used.set(sessionId, { tenantId, sessionId, requests: before.requests + more.requests, bytes: before.bytes + more.bytes });
  }

  function flush(): Promise<void> {
    flushing = flushing.catch(() => undefined).then(write);
    return flushing;
  }

  return {
    add(record) {
      const key = `${record.outcome} ${record.reason}`;
      const counter = counts.get(key) ?? { outcome: record.outcome, reason: record.reason, count: 0 };
      counter.count++;
      counts.set(key, counter);
      if (merge(record)) return;
      if (waiting.records.size >= MAX_WAITING) drop(1);
      else waiting.records.set(record.id, record);
    },
    end(ending) {
      const record = waiting.records.get(ending.id);
      if (record !== undefined) waiting.records.set(record.id, { ...record, ...ending });
      else if (waiting.endings.size < MAX_WAITING) waiting.endings.set(ending.id, ending);
      else drop(1);
    },
    use(session, more) {
      totals.bytes += more.bytes;
      addUse(session, more);
    },
    async usage({ tenantId, sessionId }) {
      // What waits goes first, so that nothing is counted twice or not at all.
      await flush();
      return store.usage({ tenantId, sessionId });
    },
    counts: () => [...counts.values()],
    bytes: () => totals.bytes,
    dropped: () => totals.dropped,
    flush,
    async close() {
      cancel();
      await flush().catch((error: unknown) => log.warn({ err: error }, 'the last decisions of the gateway could not be written'));
    },
  };
}
