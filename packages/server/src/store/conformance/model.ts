import assert from 'node:assert/strict';
import fc from 'fast-check';
import { isPlatformError } from '../../base/errors.ts';
import { type LeasedTurn, type Store, TURN_PRIORITIES, type TurnPriority } from '../store.ts';
import {
  accept,
  append,
  ask,
  confirmation,
  createSession,
  finish,
  getTurn,
  interrupt,
  type Laws,
  LEASE_MS,
  message,
  newEvent,
  readLog,
  T0,
  TENANT,
  tryLease,
} from './kit.ts';
import { type ModelToken, ReferenceModel } from './reference-model.ts';

const SESSIONS = 3;
const RUNS = 40;
const HOUR_MS = 3_600_000;

const RUN_OPERATIONS = ['append', 'ask', 'park', 'resume', 'finish', 'requeue', 'retry', 'steer', 'heartbeat'] as const;
type RunOperation = (typeof RUN_OPERATIONS)[number];

type Operation =
  | { readonly type: 'accept'; readonly session: number; readonly priority: TurnPriority }
  | { readonly type: 'interrupt'; readonly session: number }
  | { readonly type: 'confirm'; readonly session: number; readonly pick: number }
  | { readonly type: 'lease'; readonly node: string; readonly isDead: boolean }
  | { readonly type: 'takeOver'; readonly node: string; readonly isSoleNode: boolean }
  | { readonly type: 'run'; readonly operation: RunOperation; readonly pick: number };

const session = fc.nat({ max: SESSIONS - 1 });
const node = fc.constantFrom('nod_one', 'nod_two');
const pick = fc.nat({ max: 1000 });

/** Weights that let turns get somewhere: most tokens picked are fresh ones, and some are long stale. */
const operations: fc.Arbitrary<readonly Operation[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ type: fc.constant('accept' as const), session, priority: fc.constantFrom(...TURN_PRIORITIES) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('interrupt' as const), session }) },
    { weight: 3, arbitrary: fc.record({ type: fc.constant('confirm' as const), session, pick }) },
    { weight: 5, arbitrary: fc.record({ type: fc.constant('lease' as const), node, isDead: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('takeOver' as const), node, isSoleNode: fc.boolean() }) },
    { weight: 10, arbitrary: fc.record({ type: fc.constant('run' as const), operation: fc.constantFrom(...RUN_OPERATIONS), pick }) },
  ),
  { maxLength: 60, size: 'max' },
);

/** The store, the model, and what a client or a worker has been told so far. */
interface World {
  readonly store: Store;
  readonly model: ReferenceModel;
  readonly sessionIds: readonly string[];
  readonly tokens: { readonly leased: LeasedTurn; readonly token: ModelToken }[];
  readonly approvals: string[];
}

async function step(world: World, operation: Operation): Promise<void> {
  const { store, model } = world;
  switch (operation.type) {
    case 'accept': {
      const { session: index, priority } = operation;
      const input = message('hello', { priority });
      await accept(store, idOf(world, index), [input]);
      model.accept(index, input.effect.turnId, priority === 'scheduled');
      return;
    }
    case 'interrupt':
      model.interrupt(operation.session);
      await accept(store, idOf(world, operation.session), [interrupt()]);
      return;
    case 'confirm': {
      const approvalId = newest(world.approvals, operation.pick);
      if (approvalId === undefined) return;
      const isDecided = await holds(accept(store, idOf(world, operation.session), [confirmation(approvalId)]));
      assert.equal(isDecided, model.confirm(operation.session, approvalId));
      return;
    }
    case 'lease': {
      const { node: nodeId, isDead } = operation;
      handOut(world, await tryLease(store, { nodeId, leaseMs: isDead ? 0 : LEASE_MS }), model.lease(nodeId, isDead));
      return;
    }
    case 'takeOver': {
      const { node: nodeId, isSoleNode } = operation;
      const leased = await store.turns.takeOver({ nodeId, isSoleNode, held: model.heldBy(nodeId), leaseMs: LEASE_MS, now: T0 });
      handOut(world, leased, model.takeOver(nodeId, isSoleNode));
      return;
    }
    case 'run':
      return runStep(world, operation.operation, operation.pick);
  }
}

function handOut(world: World, leased: LeasedTurn | undefined, token: ModelToken | undefined): void {
  assert.equal(leased?.turn.id, token?.turn.id);
  if (leased === undefined || token === undefined) return;
  assert.equal(leased.turn.attempt, token.attempt);
  assert.equal(leased.turn.state, token.turn.state);
  world.tokens.push({ leased, token });
}

async function runStep(world: World, operation: RunOperation, which: number): Promise<void> {
  const { store, model } = world;
  const held = newest(world.tokens, which);
  if (held === undefined) return;
  const { leased, token } = held;
  const { id: turnId, attempt } = leased.turn;
  const mayWrite = model.holds(token);
  const steps: Record<RunOperation, { act: () => Promise<unknown>; expect: (result: unknown) => void }> = {
    append: { act: () => append(store, leased, { events: [newEvent('agent.message')] }), expect: () => model.append(token) },
    ask: {
      act: () => ask(store, leased),
      expect: (approvalId) => {
        world.approvals.push(String(approvalId));
        model.ask(token, String(approvalId));
      },
    },
    park: { act: () => append(store, leased, { state: 'waiting_approval', isParked: true }), expect: () => model.park(token) },
    resume: { act: () => append(store, leased, { state: 'running' }), expect: () => model.resume(token) },
    finish: { act: () => finish(store, leased, { endedSteered: () => [newEvent('turn.ended')] }), expect: () => model.finish(token) },
    requeue: {
      act: () => store.turns.requeue({ turnId, attempt, events: [newEvent('session.status_rescheduled')], now: T0 }),
      expect: () => model.requeue(token, false),
    },
    retry: {
      act: () => store.turns.requeue({ turnId, attempt, events: [newEvent('session.status_rescheduled')], retryInMs: HOUR_MS, now: T0 }),
      expect: () => model.requeue(token, true),
    },
    steer: {
      act: async () => (await store.turns.steer({ turnId, attempt }))?.turnId,
      expect: (taken) => assert.equal(taken, model.steer(token)),
    },
    heartbeat: {
      act: () => store.turns.heartbeat({ turnId, attempt, leaseMs: LEASE_MS }),
      expect: (result) => {
        token.turn.isDead = false;
        assert.deepEqual(result, { cancelRequested: token.turn.cancelRequested });
      },
    },
  };
  const { act, expect } = steps[operation];
  const call = act();
  const isDone = await holds(call);
  assert.equal(isDone, mayWrite, `${operation} under attempt ${attempt}`);
  if (isDone) expect(await call);
}

/** False when the store refused as it should refuse what comes too late. */
async function holds(call: Promise<unknown>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    if (isPlatformError(error, 'lease_lost') || isPlatformError(error, 'approval_not_pending') || isPlatformError(error, 'event_not_found'))
      return false;
    throw error;
  }
}

async function compare({ store, model, sessionIds }: World): Promise<void> {
  for (const turn of model.turns) {
    const stored = await getTurn(store, turn.id);
    assert.deepEqual(
      [stored.state, stored.attempt, stored.leaseOwner, stored.cancelRequested, stored.isContinuation, stored.retries],
      [turn.state, turn.attempt, turn.owner, turn.cancelRequested, turn.isContinuation, turn.retries],
    );
    const pending = await store.turns.approvals({ tenantId: TENANT, sessionId: stored.sessionId, state: 'pending' });
    assert.deepEqual(new Set(pending.filter((approval) => approval.turnId === turn.id).map((approval) => approval.id)), turn.open);
  }
  for (const [index, expected] of model.sessions.entries()) {
    const sessionId = sessionIds[index] ?? '';
    const log = await readLog(store, sessionId);
    assert.deepEqual(
      log.map((event) => event.type),
      expected.log,
    );
    assert.deepEqual(
      log.map((event) => event.seq),
      log.map((_, at) => at + 1),
    );
    assert.equal((await store.sessions.find({ tenantId: TENANT, id: sessionId }))?.state, expected.state);
  }
}

/** Picks from the end: what is newest is likely to be live, and what is old is tried too. */
function newest<T>(items: readonly T[], which: number): T | undefined {
  return items.at(-1 - (which % Math.min(items.length, which % 5 === 0 ? items.length : 3)));
}

function idOf(world: World, index: number): string {
  return world.sessionIds[index] ?? assert.fail('no such session');
}

export const modelLaws: Laws = {
  'any history of turns is the one the reference model tells': async (createStore) => {
    await fc.assert(
      fc.asyncProperty(operations, async (history) => {
        const store = await createStore();
        try {
          const sessionIds = [];
          for (let index = 0; index < SESSIONS; index++) sessionIds.push((await createSession(store)).id);
          const world: World = { store, model: new ReferenceModel(SESSIONS), sessionIds, tokens: [], approvals: [] };
          for (const operation of history) {
            await step(world, operation);
            await compare(world);
          }
        } finally {
          await store.close();
        }
      }),
      { numRuns: RUNS },
    );
  },
};
