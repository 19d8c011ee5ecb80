import type { Clock } from '../base/clock.ts';
import { crashPoint } from '../base/crash-points.ts';
import type { JsonObject, LeasedTurn, Store, TurnOutcome } from '../store/store.ts';
import { type IdleReason, sessionError, statusIdle, statusRescheduled, type TurnProblem, turnEnded } from './events.ts';
import { type Recorder, whileUnavailable } from './recorder.ts';

/** How an attempt ended. `stopped` was ended from outside, and the cause decides what it becomes. */
export type TurnEnd =
  | { readonly type: 'finished'; readonly outcome: TurnOutcome; readonly stopReason: string | null; readonly problem: TurnProblem | null }
  | { readonly type: 'requeue' }
  | { readonly type: 'parked' }
  | { readonly type: 'lost' }
  | { readonly type: 'stopped' };

interface OutcomeContext {
  readonly store: Store;
  readonly clock: Clock;
  readonly leased: LeasedTurn;
  readonly recorder: Recorder | undefined;
}

/** An outcome is written whatever has been aborted by then. */
const NEVER_ABORTED = new AbortController().signal;

export async function finishTurn(context: OutcomeContext, end: Extract<TurnEnd, { type: 'finished' }>): Promise<void> {
  const { turn, message } = context.leased;
  const usage = context.recorder?.takeUsage();
  crashPoint('run.before_finish');
  await persist(context, (now) =>
    context.store.turns.finish({
      turnId: turn.id,
      attempt: turn.attempt,
      outcome: end.outcome,
      stopReason: end.stopReason,
      error: end.problem === null ? null : toJson(end.problem),
      usage,
      events: [
        ...(end.problem === null ? [] : [sessionError(end.problem, now)]),
        turnEnded({ turnId: turn.id, eventId: message.id, outcome: end.outcome, stopReason: end.stopReason, problem: end.problem }, now),
      ],
      idle: statusIdle(idleReason(end), now),
      now,
    }),
  );
  crashPoint('run.after_finish');
}

export async function requeueTurn(context: OutcomeContext): Promise<void> {
  const { turn } = context.leased;
  await persist(context, (now) =>
    context.store.turns.requeue({ turnId: turn.id, attempt: turn.attempt, rescheduled: statusRescheduled(now), now }),
  );
}

export async function parkTurn(context: OutcomeContext): Promise<void> {
  const { turn } = context.leased;
  await persist(context, (now) =>
    context.store.turns.append({ turnId: turn.id, attempt: turn.attempt, events: [], state: 'waiting_approval', isParked: true, now }),
  );
}

function persist<T>(context: OutcomeContext, write: (now: number) => Promise<T>): Promise<T> {
  return whileUnavailable({ clock: context.clock, signal: NEVER_ABORTED }, () => write(context.clock.now()));
}

function idleReason(end: Extract<TurnEnd, { type: 'finished' }>): IdleReason {
  if (end.outcome === 'failed' || end.outcome === 'interrupted') return 'retries_exhausted';
  return end.stopReason === 'refusal' ? 'refusal' : 'end_turn';
}

function toJson(problem: TurnProblem): JsonObject {
  return { code: problem.code, message: problem.message };
}
