import type { TurnOutcome } from '../store/store.ts';

/** What became of a lease on a turn. */
export const LEASE_EVENTS = ['taken', 'renewed', 'lost', 'taken_over'] as const;
export type LeaseEvent = (typeof LEASE_EVENTS)[number];

export interface EndedTurns {
  readonly outcome: TurnOutcome;
  /** The problem of a turn that failed or was interrupted; `none` of others. */
  readonly code: string;
  count: number;
}

/** Counts what this server's runs did since its start, for the metrics. */
export interface RunTally {
  lease(event: LeaseEvent): void;
  ended(outcome: TurnOutcome, code: string | undefined): void;
  leases(): Readonly<Record<LeaseEvent, number>>;
  turns(): readonly EndedTurns[];
}

export function createRunTally(): RunTally {
  const leases: Record<LeaseEvent, number> = { taken: 0, renewed: 0, lost: 0, taken_over: 0 };
  const turns = new Map<string, EndedTurns>();
  return {
    lease(event) {
      leases[event]++;
    },
    ended(outcome, code = 'none') {
      const key = `${outcome} ${code}`;
      const sum = turns.get(key) ?? { outcome, code, count: 0 };
      sum.count++;
      turns.set(key, sum);
    },
    leases: () => leases,
    turns: () => [...turns.values()],
  };
}
