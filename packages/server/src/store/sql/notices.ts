import type { CommitNotice, StoredEvent } from '../store.ts';

/** What is told of events that this server has committed: one notice for each session, in the order of its first event. */
export function noticesOf(events: readonly StoredEvent[]): readonly CommitNotice[] {
  const bySession = Map.groupBy(events, ({ sessionId }) => sessionId);
  return [...bySession.values()].flatMap((own) => {
    const [first] = own;
    const last = own.at(-1);
    if (first === undefined || last === undefined) return [];
    const { tenantId, sessionId, seq: fromSeq } = first;
    const types = [...new Set(own.map(({ type }) => type))];
    return [{ tenantId, sessionId, fromSeq, toSeq: last.seq, types, events: own, isRemote: false }];
  });
}
