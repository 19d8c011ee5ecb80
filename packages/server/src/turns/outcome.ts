import { TOOL_USE_TYPES } from '@cloister/api';
import { crashPoint } from '../base/crash-points.ts';
import type { Stages } from '../sandboxes/stages.ts';
import type { JsonObject, LeasedTurn, NewEvent, Store, TurnOutcome, TurnRow } from '../store/store.ts';
import { type IdleReason, sessionError, statusIdle, statusRescheduled, type TurnProblem, turnEnded } from './events.ts';
import { type Patience, type Recorder, whileUnavailable } from './recorder.ts';

/** How an attempt ended. `stopped` was ended from outside, and the cause decides what it becomes. */
export type TurnEnd =
  | {
      readonly type: 'finished';
      readonly outcome: TurnOutcome;
      readonly stopReason: string | null;
      readonly problem: TurnProblem | null;
    }
  | { readonly type: 'requeue' }
  | { readonly type: 'retry'; readonly problem: TurnProblem; readonly inMs: number }
  | { readonly type: 'parked' }
  | { readonly type: 'lost' }
  | { readonly type: 'stopped' };

type FinishedEnd = Extract<TurnEnd, { type: 'finished' }>;

interface OutcomeContext extends Patience {
  readonly store: Store;
  readonly leased: LeasedTurn;
  readonly recorder: Recorder | undefined;
  /** Undefined where the attempt was another server's. */
  readonly stages?: Stages | undefined;
}

export async function finishTurn(context: OutcomeContext, end: FinishedEnd): Promise<void> {
  const { turn } = context.leased;
  const rest = (await context.recorder?.takeRest()) ?? [];
  const usage = context.recorder?.takeUsage();
  const sharedUntil = await lastSharedSeq(context, end);
  crashPoint('run.before_finish');
  await persist(context, (now) =>
    context.store.turns.finish({
      turnId: turn.id,
      attempt: turn.attempt,
      outcome: end.outcome,
      stopReason: end.stopReason,
      error: end.problem === null ? null : toJson(end.problem),
      usage,
      stages: context.stages === undefined ? undefined : { ...context.stages },
      events: [...rest, ...(end.problem === null ? [] : [sessionError(end.problem, now)]), endedEvent(turn, end, now)],
      idle: statusIdle(idleReason(end), now),
      endedSteered: (steered, seq) => (seq > sharedUntil ? undefined : [endedEvent(steered, end, now)]),
      now,
    }),
  );
  crashPoint('run.after_finish');
}

/**
 * Up to which message the run's outcome is that of the messages it was handed as well. When it broke off, those that
 * came after its last tool call have changed nothing, and get turns of their own.
 */
async function lastSharedSeq(context: OutcomeContext, { outcome }: FinishedEnd): Promise<number> {
  if (outcome === 'completed' || outcome === 'cancelled') return Number.POSITIVE_INFINITY;
  const { tenantId, sessionId, id: turnId } = context.leased.turn;
  const calls = { tenantId, sessionId, turnId, types: TOOL_USE_TYPES, limit: 1, order: 'desc' } as const;
  const tools = await persist(context, () => context.store.events.list(calls));
  return tools.data[0]?.seq ?? 0;
}

export async function requeueTurn(context: OutcomeContext): Promise<void> {
  const { turn } = context.leased;
  await persist(context, (now) =>
    context.store.turns.requeue({ turnId: turn.id, attempt: turn.attempt, events: [statusRescheduled(now)], now }),
  );
}

/** Puts a turn that has failed before it did anything back, to be tried again after a while. */
export async function retryTurn(context: OutcomeContext, { problem, inMs }: Extract<TurnEnd, { type: 'retry' }>): Promise<void> {
  const { turn } = context.leased;
  await persist(context, (now) =>
    context.store.turns.requeue({
      turnId: turn.id,
      attempt: turn.attempt,
      events: [sessionError(problem, now, 'retrying'), statusRescheduled(now)],
      retryInMs: inMs,
      now,
    }),
  );
}

export async function parkTurn(context: OutcomeContext): Promise<void> {
  const { turn } = context.leased;
  await persist(context, (now) =>
    context.store.turns.append({ turnId: turn.id, attempt: turn.attempt, events: [], state: 'waiting_approval', isParked: true, now }),
  );
}

function persist<T>(context: OutcomeContext, write: (now: number) => Promise<T>): Promise<T> {
  return whileUnavailable(context, () => write(context.clock.now()));
}

function idleReason(end: FinishedEnd): IdleReason {
  if (end.outcome === 'failed' || end.outcome === 'interrupted') return 'retries_exhausted';
  return end.stopReason === 'refusal' ? 'refusal' : 'end_turn';
}

function endedEvent(turn: TurnRow, { outcome, stopReason, problem }: FinishedEnd, now: number): NewEvent {
  return turnEnded({ turnId: turn.id, eventId: turn.eventId, outcome, stopReason, problem }, now);
}

function toJson(problem: TurnProblem): JsonObject {
  return { code: problem.code, message: problem.message };
}
