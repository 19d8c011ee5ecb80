import type {
  AcceptInput,
  AcceptResult,
  AppendInput,
  CommitNotice,
  DeliveryRow,
  LeasedTurn,
  LeaseInput,
  RunToken,
  SettleInput,
  StoredEvent,
  TurnStore,
} from '../../packages/server/src/store/store.ts';
import { createFairness, type Fairness } from './fairness.ts';
import type { History } from './history.ts';
import { SETTINGS } from './node.ts';
import type { SimulationOptions } from './options.ts';

/** A turn as everybody who looks at the answers of the store must believe it to be. */
export interface SeenTurn {
  readonly id: string;
  readonly tenantId: string;
  readonly sessionId: string;
  readonly agentId: string;
  readonly seq: number;
  state: 'queued' | 'running' | 'waiting' | 'parked' | 'ended';
  attempt: number;
  leaseUntil: number;
  holder: string;
  retries: number;
  retryAt: number;
  /** Its session had other turns to do when it came. */
  readonly isBehind: boolean;
  readonly passedBy: Map<string, number>;
}

interface SeenDelivery {
  readonly messageId: string;
  readonly targetId: string;
  attempt: number;
  leaseUntil: number;
  holder: string;
}

/** Sees each call that took effect, in the order in which it did, and says at once when a rule is broken. */
export interface Monitor {
  readonly turns: ReadonlyMap<string, SeenTurn>;
  readonly logs: ReadonlyMap<string, readonly StoredEvent[]>;
  /** By endpoint and message, how often it was taken. */
  readonly receipts: ReadonlyMap<string, number>;
  readonly deliveries: ReadonlyMap<string, SeenDelivery>;
  readonly toolsRun: ReadonlySet<string>;
  committed(notices: readonly CommitNotice[]): void;
  accepted(input: AcceptInput, result: AcceptResult): void;
  leased(leased: LeasedTurn | undefined, input: LeaseInput): void;
  takenOver(leased: LeasedTurn | undefined, input: LeaseInput, isSoleNode: boolean): void;
  renewed(input: RunToken & { readonly leaseMs: number }): void;
  appended(input: AppendInput): void;
  finished(input: RunToken): void;
  requeued(input: Parameters<TurnStore['requeue']>[0]): void;
  wrote(input: RunToken): void;
  toolRan(by: string, command: string): void;
  /** A node that has died holds nothing more; it is a violation to say so of one that lives. */
  buried(nodeId: string, isAlive: boolean): void;
  deliveriesLeased(leased: readonly DeliveryRow[], input: { readonly nodeId: string; readonly leaseMs: number }): void;
  deliverySettled(input: SettleInput): void;
  deliveriesFreed(): void;
  received(url: string, messageId: string): void;
}

export function createMonitor(history: History, options: SimulationOptions, now: () => number): Monitor {
  const turns = new Map<string, SeenTurn>();
  const logs = new Map<string, StoredEvent[]>();
  const keys = new Map<string, string>();
  const toolsRun = new Set<string>();
  const deliveries = watchDeliveries(history, now);
  const fairness: Fairness = createFairness(history, options, turns);

  function committed(notices: readonly CommitNotice[]): void {
    for (const event of notices.flatMap(({ events = [] }) => events)) {
      const log = logs.get(event.sessionId) ?? [];
      logs.set(event.sessionId, log);
      if (event.seq !== log.length + 1) history.violate('seq without a gap', `${event.sessionId} has ${event.seq} after ${log.length}`);
      log.push(event);
      history.note(`  ${event.sessionId.slice(-4)}#${event.seq} ${event.type} ${event.turnId?.slice(-4) ?? ''}`);
      if (event.type === 'turn.ended') ended(event);
    }
  }

  function ended({ payload }: StoredEvent): void {
    const turnId = typeof payload.turn_id === 'string' ? payload.turn_id : 'no turn';
    const turn = turns.get(turnId);
    if (turn === undefined) {
      history.violate('nothing out of thin air', `turn.ended of ${turnId}`);
      return;
    }
    if (turn.state === 'ended') history.violate('one outcome', `${turn.id} ended twice`);
    turn.state = 'ended';
  }

  function accepted(input: AcceptInput, { events, turnIds, isReplay }: AcceptResult): void {
    const key = input.idempotency?.key;
    const answer = events.map(({ id }) => id).join();
    if (key !== undefined && (keys.get(key) ?? answer) !== answer) history.violate('one key, one message', `${key} was accepted again`);
    if (key !== undefined) keys.set(key, answer);
    if (isReplay) return;
    const messages = events.filter(({ type }) => type === 'user.message');
    for (const [index, id] of turnIds.entries()) {
      const { tenantId, sessionId } = input;
      const seq = messages[index]?.seq ?? 0;
      const agentId = `agt_${tenantId}`;
      const isBehind = [...turns.values()].some((other) => other.sessionId === sessionId && other.state !== 'ended');
      const fresh = {
        state: 'queued',
        attempt: 0,
        leaseUntil: 0,
        holder: '',
        retries: 0,
        retryAt: 0,
        passedBy: new Map<string, number>(),
      } as const;
      turns.set(id, { id, tenantId, sessionId, agentId, seq, isBehind, ...fresh });
    }
  }

  /** The turn of a write that was let through; the token must be that of its newest lease. */
  function fenced({ turnId, attempt }: RunToken, what: string): SeenTurn | undefined {
    const turn = turns.get(turnId);
    if (turn === undefined) return undefined;
    const isHeld = turn.attempt === attempt && (turn.state === 'running' || turn.state === 'waiting');
    if (!isHeld)
      history.violate('no write of a stale attempt', `${what} of ${turnId}/${attempt}, which is ${turn.state} at ${turn.attempt}`);
    return turn;
  }

  function leased({ turn: row }: LeasedTurn, { nodeId, leaseMs }: LeaseInput): void {
    const turn = turns.get(row.id);
    if (turn === undefined) {
      history.violate('nothing out of thin air', `the turn ${row.id} was leased`);
      return;
    }
    history.note(`  leased ${row.id.slice(-4)}/${row.attempt} of ${row.sessionId.slice(-4)}`);
    const others = [...turns.values()].filter((other) => other.sessionId === turn.sessionId && other !== turn && other.state !== 'ended');
    const busy = others.find(({ state }) => state !== 'queued');
    if (busy !== undefined) history.violate('one turn at a time', `${turn.id} was leased while ${busy.id} is ${busy.state}`);
    const earlier = others.find(({ seq }) => seq < turn.seq);
    if (earlier !== undefined) history.violate('turns in order', `${turn.id} was leased before ${earlier.id}`);
    if (turn.state !== 'queued' && turn.state !== 'parked') history.violate('one holder', `${turn.id} was leased while ${turn.state}`);
    if (row.attempt !== turn.attempt + 1) history.violate('attempts count', `${turn.id} went from ${turn.attempt} to ${row.attempt}`);
    if (!options.isSoleNode && now() + 1 < turn.retryAt)
      history.violate('retries wait', `${turn.id} was leased ${turn.retryAt - now()} ms early`);
    fairness.leased(turn, nodeId);
    turn.state = 'running';
    turn.attempt = row.attempt;
    turn.leaseUntil = now() + leaseMs;
    turn.holder = nodeId;
  }

  function takenOver({ turn: row }: LeasedTurn, { nodeId, leaseMs }: LeaseInput, isSoleNode: boolean): void {
    const turn = turns.get(row.id);
    if (turn === undefined) return;
    history.note(`  taken over ${row.id.slice(-4)}/${row.attempt}`);
    if (!isSoleNode && now() + 1 < turn.leaseUntil)
      history.violate('one holder', `${turn.id} was taken over ${turn.leaseUntil - now()} ms before its lease ended`);
    if (row.attempt !== turn.attempt + 1) history.violate('attempts count', `${turn.id} went from ${turn.attempt} to ${row.attempt}`);
    fairness.freed(turn.sessionId);
    turn.attempt = row.attempt;
    turn.leaseUntil = now() + leaseMs;
    turn.holder = nodeId;
  }

  function requeued(input: Parameters<TurnStore['requeue']>[0]): void {
    const turn = fenced(input, 'requeue');
    if (turn === undefined) return;
    turn.state = 'queued';
    if (input.retryInMs === undefined) return;
    const least = SETTINGS.retryBaseMs * 2 ** turn.retries;
    turn.retries++;
    turn.retryAt = now() + input.retryInMs;
    if (turn.retries >= options.maxTurnAttempts) history.violate('retries end', `${turn.id} is put back the ${turn.retries}. time`);
    if (input.retryInMs < least) history.violate('retries wait longer and longer', `${turn.id}: ${input.retryInMs} ms, not ${least}`);
  }

  return {
    turns,
    logs,
    toolsRun,
    committed,
    accepted,
    leased: (row, input) => row && leased(row, input),
    takenOver: (row, input, isSoleNode) => row && takenOver(row, input, isSoleNode),
    renewed(input) {
      const turn = fenced(input, 'heartbeat');
      if (turn !== undefined) turn.leaseUntil = now() + input.leaseMs;
    },
    appended(input) {
      const turn = fenced(input, 'append');
      if (turn === undefined || input.state === undefined) return;
      turn.state = input.isParked === true ? 'parked' : input.state === 'running' ? 'running' : 'waiting';
    },
    finished: ({ turnId, attempt }) => {
      if (turns.get(turnId)?.attempt !== attempt) history.violate('no write of a stale attempt', `finish of ${turnId}/${attempt}`);
    },
    requeued,
    wrote: (input) => void fenced(input, 'steer'),
    toolRan(by, command) {
      history.note(`${by} runs ${command}`);
      if (toolsRun.has(command)) history.violate('no tool runs twice', command);
      toolsRun.add(command);
    },
    ...deliveries,
    buried(nodeId, isAlive) {
      if (isAlive) history.violate('only the dead are buried', nodeId);
      for (const one of [...turns.values(), ...deliveries.deliveries.values()]) if (one.holder === nodeId) one.leaseUntil = 0;
    },
  };
}

type DeliveryWatch = Pick<Monitor, 'deliveries' | 'receipts' | 'deliveriesLeased' | 'deliverySettled' | 'deliveriesFreed' | 'received'>;

function watchDeliveries(history: History, now: () => number): DeliveryWatch {
  const deliveries = new Map<string, SeenDelivery>();
  const receipts = new Map<string, number>();
  return {
    deliveries,
    receipts,
    deliveriesLeased(leased, { nodeId, leaseMs }) {
      for (const { id, messageId, targetId, attempt } of leased) {
        const seen = deliveries.get(id) ?? { messageId, targetId, attempt: 0, leaseUntil: 0, holder: '' };
        deliveries.set(id, seen);
        if (now() + 1 < seen.leaseUntil) history.violate('one sender', `${id} was leased while it is being sent`);
        if (seen.messageId !== messageId) history.violate('stable ids', `${id} was ${seen.messageId} and is ${messageId}`);
        if (attempt !== seen.attempt + 1) history.violate('attempts count', `${id} went from ${seen.attempt} to ${attempt}`);
        seen.attempt = attempt;
        seen.leaseUntil = now() + leaseMs;
        seen.holder = nodeId;
      }
    },
    deliverySettled({ id, attempt }) {
      const seen = deliveries.get(id);
      if (seen?.attempt !== attempt)
        history.violate('no write of a stale attempt', `settle of ${id}/${attempt}, which is at ${seen?.attempt}`);
      if (seen !== undefined) seen.leaseUntil = 0;
    },
    deliveriesFreed() {
      for (const seen of deliveries.values()) seen.leaseUntil = 0;
    },
    received(url, messageId) {
      const key = `${url} ${messageId}`;
      receipts.set(key, (receipts.get(key) ?? 0) + 1);
      history.note(`received ${messageId.slice(-6)} at ${url}`);
    },
  };
}
