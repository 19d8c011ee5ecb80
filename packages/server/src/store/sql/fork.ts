import { PlatformError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../../base/json.ts';
import type { SessionRow, SessionStore, StoredEvent } from '../store.ts';
import type { Transaction } from './engine.ts';
import { appendEvents } from './event-log.ts';
import { allAs, type Query, run } from './query.ts';
import { parseEvent } from './rows.ts';

const LIST = `SELECT * FROM events
  WHERE tenant_id = :tenantId AND session_id = :sessionId AND seq > :after AND seq <= :through ORDER BY seq LIMIT :limit`;
const KEEP_MEMORY = 'UPDATE sessions SET harness_session_id = :harnessSessionId WHERE tenant_id = :tenantId AND id = :id';
const BATCH = 200;

type ForkInput = Parameters<SessionStore['fork']>[0];

/** Copies the log of `source` into the new session. Events get ids of their own, and what names another event names its copy. */
export function* copyLog(tx: Transaction, source: SessionRow, { tenantId, from, id, throughSeq, now }: ForkInput): Query<void> {
  if (throughSeq === undefined && source.state !== 'idle') throw new PlatformError('session_busy');
  const copies = new Map<string, string>();
  const through = throughSeq ?? source.lastSeq;
  for (let after = 0; ; ) {
    const events: readonly StoredEvent[] = yield* allAs(parseEvent, LIST, { tenantId, sessionId: from, after, through, limit: BATCH });
    const last = events.at(-1);
    if (last === undefined) break;
    for (const event of events) copies.set(event.id, newId('event'));
    const copied = events.map(({ id: old, type, payload, processedAt }) => ({
      id: copies.get(old) ?? old,
      type,
      payload: renamed(payload, copies),
      processedAt: processedAt ?? now,
    }));
    // Nobody is told: it has all happened before.
    yield* appendEvents(tx, { tenantId, sessionId: id }, { events: copied, turnId: null, now, isExcepted: () => true });
    after = last.seq;
  }
  if (throughSeq === undefined) yield* run(KEEP_MEMORY, { tenantId, id, harnessSessionId: source.harnessSessionId });
}

function renamed(payload: JsonObject, copies: ReadonlyMap<string, string>): JsonObject {
  return Object.fromEntries(Object.entries(payload).map(([name, value]) => [name, renamedValue(value, copies)]));
}

function renamedValue(value: JsonValue, copies: ReadonlyMap<string, string>): JsonValue {
  if (typeof value === 'string') return copies.get(value) ?? value;
  if (Array.isArray(value)) return value.map((one: JsonValue) => renamedValue(one, copies));
  return isJsonObject(value) ? renamed(value, copies) : value;
}
