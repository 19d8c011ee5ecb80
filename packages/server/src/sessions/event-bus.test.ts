import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { createManualClock, type ManualClock } from '../../test/support/manual-clock.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { systemClock } from '../base/clock.ts';
import { createSession, newEvent, queue, T0, TENANT } from '../store/conformance/kit.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import type { CommitListener, CommitNotice, Store, StoredEvent } from '../store/store.ts';
import { createEventBus, type EventBus } from './event-bus.ts';

const POLL_MS = 5000;

/** A store whose notices come when the test says so, as those of other servers do: late, out of order, or never. */
describe('the event bus on a shared store', { timeout: 20_000 }, () => {
  let store: Store;
  let bus: EventBus;
  let clock: ManualClock;
  let sessionId: string;
  let tell: CommitListener;
  let seen: StoredEvent[];

  beforeEach(async () => {
    clock = createManualClock();
    store = await openSqliteStore({ file: ':memory:', clock: systemClock });
    const shared: Store = {
      ...store,
      events: {
        ...store.events,
        isShared: true,
        onCommit: (listener) => {
          tell = listener;
          return () => undefined;
        },
      },
    };
    bus = createEventBus(shared, { clock });
    ({ id: sessionId } = await createSession(store));
    seen = follow();
  });
  afterEach(async () => {
    bus.close();
    await store.close();
  });

  function follow(): StoredEvent[] {
    const events: StoredEvent[] = [];
    bus.subscribe({ tenantId: TENANT, sessionId }, { onEvents: (more) => events.push(...more), onPreview: () => undefined });
    return events;
  }

  async function commit(count: number): Promise<void> {
    for (let index = 0; index < count; index++) await queue(store, sessionId);
  }

  const notice = (fromSeq: number, toSeq: number): CommitNotice => ({
    tenantId: TENANT,
    sessionId,
    fromSeq,
    toSeq,
    types: ['user.message'],
    isRemote: true,
  });
  const seqs = (events: readonly StoredEvent[]) => events.map(({ seq }) => seq);
  const untilSeen = (events: readonly StoredEvent[], count: number) =>
    waitFor(() => events.length >= count, { timeoutMs: 5000, what: `${count} events` });

  it('reads what other servers have committed, once and in order, however their notices come', async () => {
    await commit(6);
    tell([notice(1, 1)]);
    tell([notice(4, 6)]);
    tell([notice(2, 3), notice(4, 6)]);
    await untilSeen(seen, 6);
    tell([notice(1, 6)]);
    await commit(1);
    tell([notice(7, 7)]);
    await untilSeen(seen, 7);
    assert.deepEqual(seqs(seen), [1, 2, 3, 4, 5, 6, 7]);
  });

  it('finds what it was never told of, for those who came before and after', async () => {
    await commit(1);
    tell([notice(1, 1)]);
    await untilSeen(seen, 1);
    await commit(2);
    const later = follow();
    clock.advance(POLL_MS);
    await untilSeen(seen, 3);
    await untilSeen(later, 3);
    await commit(1);
    clock.advance(POLL_MS);
    await untilSeen(seen, 4);
    clock.advance(POLL_MS);
    assert.deepEqual(
      [seqs(seen), seqs(later)],
      [
        [1, 2, 3, 4],
        [1, 2, 3, 4],
      ],
    );
  });

  it('finds that a session is gone', async () => {
    await commit(1);
    await store.sessions.remove({ tenantId: TENANT, id: sessionId, event: newEvent('session.deleted'), now: T0 });
    clock.advance(POLL_MS);
    await waitFor(() => seen.some(({ type }) => type === 'session.deleted'), { timeoutMs: 5000, what: 'the removal' });
  });

  it('looks for nobody once all have left', async () => {
    const unsubscribe = bus.subscribe(
      { tenantId: TENANT, sessionId },
      { onEvents: () => assert.fail('it has left'), onPreview: () => undefined },
    );
    unsubscribe();
    await commit(1);
    tell([notice(1, 1)]);
    await untilSeen(seen, 1);
  });
});
