import type { LeasedTurn } from '../store/store.ts';
import { endOfStop } from './continuation.ts';
import type { TurnEnd } from './outcome.ts';

export type StopCause = 'interrupt' | 'timeout' | 'park' | 'hand_back' | 'lease_lost';
export type FinalEnd = Exclude<TurnEnd, { type: 'stopped' }>;

interface Stopped {
  readonly leased: LeasedTurn;
  readonly hasToolCalls: boolean;
  readonly turnTimeoutMs: number;
}

/** What becomes of an attempt that was stopped from outside. */
export function stoppedEnd(cause: StopCause | undefined, { leased, hasToolCalls, turnTimeoutMs }: Stopped): FinalEnd {
  switch (cause) {
    case 'lease_lost':
      return { type: 'lost' };
    case 'park':
      return { type: 'parked' };
    case 'timeout': {
      const message = `The turn ran longer than ${turnTimeoutMs / 1000} s and was stopped.`;
      return { type: 'finished', outcome: 'failed', stopReason: null, problem: { code: 'turn_timeout', message } };
    }
    case 'hand_back': {
      if (!hasToolCalls) return { type: 'requeue' };
      const problem = { code: 'turn_interrupted', message: 'The server was stopped in the middle of this turn.' } as const;
      return { type: 'finished', outcome: 'interrupted', stopReason: null, problem };
    }
    case 'interrupt':
    case undefined:
      return endOfStop(leased);
  }
}
