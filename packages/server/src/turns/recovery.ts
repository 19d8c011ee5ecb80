import { TOOL_USE_TYPES } from '@cloister/api';
import type { Logger } from '../base/log.ts';
import type { HarnessCatalog } from '../harness/catalog.ts';
import type { LeasedTurn, Store } from '../store/store.ts';
import { finishTurn, parkTurn, requeueTurn } from './outcome.ts';
import type { Patience } from './recorder.ts';
import type { RunTally } from './run-tally.ts';

export interface RecoveryDeps extends Patience {
  readonly store: Store;
  readonly log: Logger;
  readonly catalog: HarnessCatalog;
  readonly nodeId: string;
  readonly leaseMs: number;
  readonly tally?: RunTally | undefined;
}

/** A turn that dies this often is itself the reason. */
const MAX_ATTEMPTS = 5;

/**
 * Settles every turn whose worker is gone. `isSoleNode`: no other worker exists, so any foreign lease is dead. `held`:
 * the turns that this node still runs; others of its own were given up when they could not be settled.
 */
export async function recoverTurns(
  deps: RecoveryDeps,
  options: { readonly isSoleNode: boolean; readonly held: readonly string[] },
): Promise<number> {
  for (let count = 0; ; count++) {
    const now = deps.clock.now();
    const leased = await deps.store.turns.takeOver({
      nodeId: deps.nodeId,
      leaseMs: deps.leaseMs,
      ...options,
      now,
    });
    if (leased === undefined) return count;
    deps.tally?.lease('taken_over');
    await recoverTurn(deps, leased);
  }
}

/**
 * The rule: a turn is run again only when no tool can have run. Before the prompt nothing ran; after it,
 * an agent that asks first has left the event of each call in the log. All else ends as interrupted.
 */
async function recoverTurn(deps: RecoveryDeps, leased: LeasedTurn): Promise<void> {
  const { turn } = leased;
  const context = { store: deps.store, clock: deps.clock, giveUp: deps.giveUp, leased, recorder: undefined };
  if (turn.cancelRequested) return finishTurn(context, { type: 'finished', outcome: 'cancelled', stopReason: 'cancelled', problem: null });
  if (turn.state === 'waiting_approval') return parkTurn(context);
  const isSafe = turn.promptedAt === null || (await isWithoutTools(deps, leased));
  if (isSafe && turn.attempt <= MAX_ATTEMPTS) {
    deps.log.info({ turn: turn.id, attempt: turn.attempt }, 'the turn is run again: no tool had run');
    return requeueTurn(context);
  }
  deps.log.warn({ turn: turn.id, attempt: turn.attempt }, 'the turn was interrupted');
  const message = isSafe
    ? 'The server stopped in the middle of this turn again and again.'
    : 'The server stopped in the middle of this turn. It was not run again, since a tool may have run.';
  return finishTurn(context, {
    type: 'finished',
    outcome: 'interrupted',
    stopReason: null,
    problem: { code: 'turn_interrupted', message },
  });
}

async function isWithoutTools(deps: RecoveryDeps, { turn, session }: LeasedTurn): Promise<boolean> {
  const harness = deps.catalog.find(typeof session.agent.harness === 'string' ? session.agent.harness : deps.catalog.defaultId);
  if (harness?.asksBeforeTools !== true || turn.isContinuation) return false;
  const page = await deps.store.events.list({
    tenantId: turn.tenantId,
    sessionId: turn.sessionId,
    turnId: turn.id,
    types: TOOL_USE_TYPES,
    limit: 1,
    order: 'asc',
  });
  return page.data.length === 0;
}
