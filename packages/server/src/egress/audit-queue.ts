import type { EgressEnding, EgressRecord, EgressUsage, SessionKey } from '../store/store.ts';

export interface AuditBatch {
  readonly records: readonly EgressRecord[];
  readonly endings: readonly EgressEnding[];
  readonly used: readonly (SessionKey & EgressUsage)[];
}

/** What waits to be written. It is bounded: what finds no room is only counted. */
export interface AuditQueue {
  /** The same decision, taken again while the first still waits, makes that one count for one more. */
  add(record: EgressRecord): void;
  end(ending: EgressEnding): void;
  use(session: SessionKey, more: EgressUsage): void;
  /** The next batch, which no longer waits; undefined when there is none. */
  take(): AuditBatch | undefined;
  /** A batch that could not be written waits again. */
  putBack(batch: AuditBatch): void;
  dropped(): number;
}

export const MAX_WAITING = 10_000;
const BATCH = 500;

export function createAuditQueue(): AuditQueue {
  const records = new Map<string, EgressRecord>();
  const endings = new Map<string, EgressEnding>();
  const used = new Map<string, SessionKey & EgressUsage>();
  /** By what was decided: the record that the next one of the same kind is added to. */
  const repeats = new Map<string, string>();
  let dropped = 0;

  function isRepeat(record: EgressRecord): boolean {
    if (record.outcome === 'allowed') return false;
    const { sandboxId, way, method, host, port, outcome, reason } = record;
    const key = JSON.stringify([sandboxId, way, method, host, port, outcome, reason]);
    const earlier = records.get(repeats.get(key) ?? '');
    if (earlier !== undefined) records.set(earlier.id, { ...earlier, times: earlier.times + 1 });
    else if (repeats.size < MAX_WAITING) repeats.set(key, record.id);
    return earlier !== undefined;
  }

  function use({ tenantId, sessionId }: SessionKey, more: EgressUsage): void {
    const before = used.get(sessionId) ?? { requests: 0, bytes: 0 };
    used.set(sessionId, { tenantId, sessionId, requests: before.requests + more.requests, bytes: before.bytes + more.bytes });
  }

  return {
    add(record) {
      if (isRepeat(record)) return;
      if (records.size < MAX_WAITING) records.set(record.id, record);
      else dropped++;
    },
    end(ending) {
      const record = records.get(ending.id);
      if (record !== undefined) records.set(record.id, { ...record, ...ending });
      else if (endings.size < MAX_WAITING) endings.set(ending.id, ending);
      else dropped++;
    },
    use,
    take() {
      if (records.size + endings.size + used.size === 0) return undefined;
      // From here on a repeat is a record of its own, and an ending waits for the next batch.
      repeats.clear();
      return { records: takeFrom(records), endings: takeFrom(endings), used: takeFrom(used) };
    },
    putBack(batch) {
      const room = Math.max(0, MAX_WAITING - records.size);
      for (const record of batch.records.slice(0, room)) records.set(record.id, record);
      dropped += Math.max(0, batch.records.length - room);
      for (const ending of batch.endings) endings.set(ending.id, ending);
      for (const one of batch.used) use(one, one);
    },
    dropped: () => dropped,
  };
}

function takeFrom<T>(waiting: Map<string, T>): T[] {
  const taken: T[] = [];
  for (const [key, value] of waiting) {
    if (taken.length >= BATCH) break;
    taken.push(value);
    waiting.delete(key);
  }
  return taken;
}
