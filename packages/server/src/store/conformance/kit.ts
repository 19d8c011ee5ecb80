import assert from 'node:assert/strict';
import type { ProblemCode } from '@cloister/api';
import { isPlatformError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import type {
  AcceptedEventInput,
  AppendInput,
  CommitNotice,
  FinishInput,
  JsonObject,
  LeasedTurn,
  NewEvent,
  Page,
  SessionRow,
  Store,
  StoredEvent,
  TurnPriority,
} from '../store.ts';

type CreateStore = () => Promise<Store>;

/** Laws by name; each gets the way to open a store of its own. */
export type Laws = Readonly<Record<string, (createStore: CreateStore) => Promise<void>>>;

/** Where the tests' time begins. */
export const T0 = 1_800_000_000_000;
export const LEASE_MS = 30_000;
export const TENANT = 'default';
export const NODE = 'nod_one';
export const VOLUME = 'vol_one';

/** Makes a law of a test that needs one store. */
export function law(prove: (store: Store) => Promise<void>): (createStore: CreateStore) => Promise<void> {
  return async (createStore) => {
    const store = await createStore();
    try {
      await prove(store);
    } finally {
      await store.close();
    }
  };
}

export function newEvent(type: string, payload: JsonObject = {}): NewEvent {
  return { id: newId('event'), type, payload, processedAt: T0 };
}

export async function createSession(
  store: Store,
  input: { tenantId?: string; now?: number; agentId?: string; agentVersion?: number } = {},
): Promise<SessionRow> {
  return store.sessions.create({
    id: newId('session'),
    tenantId: input.tenantId ?? TENANT,
    agentId: input.agentId ?? 'agt_one',
    agentVersion: input.agentVersion ?? 1,
    agent: { name: 'Ada' },
    environmentId: 'env_one',
    environment: { name: 'here' },
    title: null,
    metadata: {},
    now: input.now ?? T0,
  });
}

type Message = AcceptedEventInput & { readonly effect: { readonly kind: 'message'; readonly turnId: string } };

export function message(text = 'hello', effect: { priority?: TurnPriority } = {}): Message {
  const event = { id: newId('event'), type: 'user.message', payload: { text }, processedAt: null };
  return { ...event, effect: { kind: 'message', turnId: newId('turn'), ...effect } };
}

export function interrupt(turnId?: string): AcceptedEventInput {
  return {
    ...newEvent('user.interrupt'),
    effect: {
      kind: 'interrupt',
      turnId,
      ended: (turn) => [newEvent('turn.ended', { turnId: turn.id })],
      idle: newEvent('session.status_idle'),
    },
  };
}

export function confirmation(
  approvalId: string,
  decision: 'granted' | 'denied' = 'granted',
  denyMessage: string | null = null,
): AcceptedEventInput {
  return { ...newEvent('user.tool_confirmation'), effect: { kind: 'confirmation', approvalId, decision, denyMessage } };
}

export async function accept(store: Store, sessionId: string, events: readonly AcceptedEventInput[], now = T0) {
  return store.turns.accept({ tenantId: TENANT, sessionId, events, maxQueuedPerSession: 100, now });
}

/** Queues one message; returns the id of its turn. */
export async function queue(store: Store, sessionId: string, now = T0): Promise<string> {
  const { turnIds } = await accept(store, sessionId, [message()], now);
  return turnIds[0] ?? assert.fail('a message queues a turn');
}

type Leasing = Partial<Parameters<Store['turns']['lease']>[0]>;

export async function tryLease(store: Store, input: Leasing = {}): Promise<LeasedTurn | undefined> {
  return store.turns.lease({
    nodeId: NODE,
    volumeId: VOLUME,
    leaseMs: LEASE_MS,
    running: newEvent('session.status_running'),
    now: T0,
    ...input,
  });
}

export async function lease(store: Store, input: Leasing = {}): Promise<LeasedTurn> {
  return (await tryLease(store, input)) ?? assert.fail('there is a turn to lease');
}

export async function append(store: Store, { turn }: LeasedTurn, input: Partial<AppendInput>): Promise<readonly StoredEvent[]> {
  return store.turns.append({ turnId: turn.id, attempt: turn.attempt, events: [], now: T0, ...input });
}

export async function finish(store: Store, { turn }: LeasedTurn, input: Partial<FinishInput> = {}): Promise<readonly StoredEvent[]> {
  return store.turns.finish({
    turnId: turn.id,
    attempt: turn.attempt,
    outcome: 'completed',
    stopReason: 'end_turn',
    error: null,
    events: [newEvent('turn.ended')],
    idle: newEvent('session.status_idle'),
    now: T0,
    ...input,
  });
}

/** Lets the run ask for a permission and wait for it; returns the id of the question. */
export async function ask(store: Store, leased: LeasedTurn, input: { isParked?: boolean; now?: number } = {}): Promise<string> {
  const question = newEvent('agent.tool_use');
  await append(store, leased, {
    events: [question],
    approvals: [{ id: question.id, toolName: 'bash', input: { command: 'ls' } }],
    state: 'waiting_approval',
    ...input,
  });
  return question.id;
}

export async function getSession(store: Store, id: string): Promise<SessionRow> {
  return (await store.sessions.find({ tenantId: TENANT, id })) ?? assert.fail('the session exists');
}

export async function getTurn(store: Store, id: string) {
  return (await store.turns.find({ tenantId: TENANT, id })) ?? assert.fail('the turn exists');
}

export async function readLog(store: Store, sessionId: string): Promise<readonly StoredEvent[]> {
  return store.events.listAfter({ tenantId: TENANT, sessionId, after: 0, limit: 10_000 });
}

export async function readTypes(store: Store, sessionId: string): Promise<readonly string[]> {
  return (await readLog(store, sessionId)).map((event) => event.type);
}

export async function refuses(promise: Promise<unknown>, code: ProblemCode): Promise<void> {
  await assert.rejects(promise, (error) => isPlatformError(error, code) || assert.fail(`expected ${code}, got ${String(error)}`));
}

interface Paging {
  readonly limit: number;
  readonly page?: string | undefined;
}

/** Reads a listing to its end and back again, and checks that both ways show the same pages. */
export async function readPages<T>(list: (paging: Paging) => Promise<Page<T>>, limit: number): Promise<readonly (readonly T[])[]> {
  const first = await list({ limit });
  assert.equal(first.prev, null, 'nothing comes before the first page');
  const pages = [first];
  for (let next = first.next; next !== null; ) {
    const page: Page<T> = await list({ limit, page: next });
    pages.push(page);
    next = page.next;
  }
  for (let index = pages.length - 1; index > 0; index--) {
    const back = await list({ limit, page: pages[index]?.prev ?? assert.fail('a later page has one before it') });
    assert.deepEqual(back.data, pages[index - 1]?.data, 'the way back shows the same page');
    assert.equal(back.prev === null, index === 1, 'only the first page has none before it');
    const forth = await list({ limit, page: back.next ?? assert.fail('the way back can be turned') });
    assert.deepEqual(forth.data, pages[index]?.data, 'and forth again');
  }
  return pages.map((page) => page.data);
}

export function eventsOf(notices: readonly CommitNotice[]): readonly StoredEvent[] {
  return notices.flatMap(({ events = [] }) => events);
}
