import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { createManualClock, type ManualClock } from '../../test/support/manual-clock.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { systemClock } from '../base/clock.ts';
import { newId } from '../base/ids.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import type { LeasedTurn, Store } from '../store/store.ts';
import { statusIdle, turnEnded } from '../turns/events.ts';
import { createEventBus, type EventBus } from './event-bus.ts';
import { createSendEvents, type SendEvents } from './send-events.ts';

const TENANT = 'default';
const MESSAGE = { type: 'user.message' as const, content: [{ type: 'text' as const, text: 'hello' }] };

describe('sending events', () => {
  let store: Store;
  let bus: EventBus;
  let clock: ManualClock;
  let send: SendEvents;
  let sessionId: string;

  beforeEach(async () => {
    clock = createManualClock();
    store = await openSqliteStore({ file: ':memory:', clock: systemClock });
    bus = createEventBus(store);
    const signal = { messaged: () => undefined, interrupt: () => undefined, confirmed: () => undefined, isAccepting: () => true };
    send = createSendEvents({ store, clock, bus, signal, maxQueuedPerSession: 10 });
    sessionId = newId('session');
    await store.sessions.create({
      id: sessionId,
      tenantId: TENANT,
      agentId: 'agt',
      agentVersion: 1,
      agent: {},
      environmentId: 'env',
      environment: {},
      title: null,
      metadata: {},
      now: 0,
    });
  });

  afterEach(async () => {
    bus.close();
    await store.close();
  });

  const thought = (type = 'agent.thinking') => ({ id: newId('event'), type, payload: {}, processedAt: 0 });

  async function lease(): Promise<LeasedTurn> {
    const turn = await store.turns.lease({ nodeId: 'n', volumeId: 'v', leaseMs: 1000, running: thought('session.status_running'), now: 0 });
    assert.ok(turn !== undefined);
    return turn;
  }

  async function finish(leased: LeasedTurn): Promise<void> {
    const { id: turnId, attempt, eventId } = leased.turn;
    const ended = turnEnded({ turnId, eventId, outcome: 'completed', stopReason: 'end_turn', problem: null }, 0);
    const end = { outcome: 'completed' as const, stopReason: 'end_turn', error: null, events: [ended], idle: statusIdle('end_turn', 0) };
    await store.turns.finish({ turnId, attempt, ...end, now: 0 });
  }

  it('with wait answers all events of a long turn', async () => {
    const input = { tenantId: TENANT, sessionId, events: [MESSAGE], idempotencyKey: 'once' };
    await send(input);
    const leased = await lease();
    const { id: turnId, attempt } = leased.turn;
    await store.turns.append({ turnId, attempt, events: Array.from({ length: 2100 }, () => thought()), now: 0 });
    await finish(leased);
    const { turn, events = [] } = await send({ ...input, waitMs: 1000 });
    assert.equal(turn?.outcome, 'completed');
    assert.deepEqual(
      events.map(({ seq }) => seq),
      Array.from({ length: 2104 }, (_, index) => index + 1),
    );
  });

  it('answers with the state of the turn when the time is over, and leaves no timer', async () => {
    const answer = send({ tenantId: TENANT, sessionId, events: [MESSAGE], waitMs: 5000 });
    await waitFor(() => clock.pending() > 0, { timeoutMs: 5000, what: 'the answer to wait' });
    clock.advance(5000);
    const { turn, events } = await answer;
    assert.deepEqual([turn?.state, turn?.outcome, events?.length], ['queued', null, 1]);
    assert.equal(clock.pending(), 0);
  });

  it('waits for nobody who has gone already', async () => {
    const { turn } = await send({ tenantId: TENANT, sessionId, events: [MESSAGE], waitMs: 600_000, abort: AbortSignal.abort() });
    assert.equal(turn?.state, 'queued');
    assert.equal(clock.pending(), 0);
  });
});
