import type { History } from './history.ts';
import type { SeenTurn } from './monitor.ts';
import type { SimulationOptions } from './options.ts';

/** The tenant that sends one message after the other while others flood the queue. */
export const CALM_TENANT = 'calm';

/** Caps, and that no tenant gets two turns while the calm one's could have run. */
export interface Fairness {
  leased(turn: SeenTurn, nodeId: string): void;
  /** The session's sandbox is on no node any more. */
  freed(sessionId: string): void;
}

export function createFairness(history: History, options: SimulationOptions, turns: ReadonlyMap<string, SeenTurn>): Fairness {
  const nodeOf = new Map<string, string>();
  const { perTenant = Number.POSITIVE_INFINITY, perAgent = Number.POSITIVE_INFINITY } = options;

  const running = (tenantId: string) => [...turns.values()].filter((one) => one.tenantId === tenantId && one.state === 'running').length;

  /** The calm tenant's turn that is ready, when the node could have taken it instead. */
  function overlooked(nodeId: string): SeenTurn | undefined {
    const own = [...turns.values()].filter(({ tenantId, state }) => tenantId === CALM_TENANT && state !== 'ended');
    const [first] = own.sort((a, b) => a.seq - b.seq);
    if (first === undefined || first.attempt > 0 || own.some(({ state }) => state !== 'queued')) return undefined;
    return (nodeOf.get(first.sessionId) ?? nodeId) === nodeId ? first : undefined;
  }

  return {
    freed: (sessionId) => void nodeOf.delete(sessionId),
    leased(turn, nodeId) {
      // Tenants have one agent each here.
      const busy = running(turn.tenantId);
      if (busy >= Math.min(perTenant, perAgent)) history.violate('caps', `${turn.id} was leased while ${busy} of ${turn.tenantId} run`);
      nodeOf.set(turn.sessionId, nodeId);
      if (turn.tenantId === CALM_TENANT) return;
      const waiting = overlooked(nodeId);
      if (waiting === undefined) return;
      // One that was put back has kept its place in an earlier round, and so has what follows it.
      const passes = (waiting.passedBy.get(turn.tenantId) ?? 0) + (turn.attempt > 0 ? -1 : 1);
      waiting.passedBy.set(turn.tenantId, passes);
      // A tie within a round, and the place after those of the same round for one that follows a turn of its own tenant.
      if (passes > (waiting.isBehind ? 3 : 2))
        history.violate('fairness', `${turn.id} of ${turn.tenantId} was leased while ${waiting.id} waits, for the ${passes}. time`);
    },
  };
}
