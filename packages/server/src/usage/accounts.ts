import type { Approvals } from '../approvals/approvals.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Service } from '../base/service.ts';
import { askToRaise, type QuestionDeps } from '../budgets/questions.ts';
import { createBudgetWatch } from '../budgets/watch.ts';
import type { AskedCall, EndedCall, HeldTurn, ModelAccounts } from '../core/model-accounts.ts';
import { costOf, countedOrEstimated, type PriceFound, worstCost } from '../core/model-cost.ts';
import type { SpendingSettings } from '../core/spending-settings.ts';
import type { BudgetRow, CallRecord, CallSubject, Store } from '../store/store.ts';
import type { PriceTable } from './prices.ts';
import { type CallRecords, createCallRecords } from './records.ts';

export interface AccountsDeps {
  readonly store: Pick<Store, 'usage' | 'budgets' | 'approvals'>;
  readonly prices: PriceTable;
  readonly clock: Clock;
  readonly log: Logger;
  readonly nodeId: string;
  readonly isSoleNode: boolean;
  readonly leaseMs: number;
  readonly settings: SpendingSettings;
  /** Whom to ask when a budget has no room. */
  readonly approvals: Pick<Approvals, 'ask' | 'waiting'>;
}

/** The accounts of model calls, and what goes on for them in the background. */
export interface Accounts extends ModelAccounts, Service {
  readonly prices: PriceTable;
  readonly records: Pick<CallRecords, 'dropped' | 'totals'>;
  /** Budgets were made or removed here. */
  budgetsChanged(): Promise<void>;
}

const SWEEP_BATCH = 100;
const UNKNOWN_MODEL = 'unknown';

export function createAccounts(deps: AccountsDeps): Accounts {
  const { store, prices, clock, log, nodeId, isSoleNode, leaseMs, settings, approvals } = deps;
  const records = createCallRecords({ store: store.usage, clock, log });
  const watch = createBudgetWatch({ budgets: store.budgets, clock, log, pollMs: settings.pollMs, isSoleNode });
  const reserved = new Set<string>();
  /** Ended while they were held: nothing was reserved for them, and no provider has seen them. */
  const neverMade = new Set<string>();
  const questions: QuestionDeps = {
    budgets: store.budgets,
    store: store.approvals,
    approvals,
    clock,
    currency: prices.currency,
    holdMs: settings.holdMs,
  };
  const upkeep = createUpkeep(deps, () => reserved.size > 0);

  async function admit(call: AskedCall, turn: HeldTurn | undefined, signal: AbortSignal): ReturnType<ModelAccounts['admit']> {
    const { requestBytes, maxOutputTokens, provider, model, startedAt } = call;
    const input = Math.ceil(requestBytes / settings.bytesPerToken);
    const amountMicros = worstCost({ input, output: maxOutputTokens }, prices.find(provider, model, startedAt).prices);
    reserved.add(call.id);
    for (;;) {
      signal.throwIfAborted();
      const result = await store.usage.reserve({ call: toSubject(call), amountMicros, nodeId, leaseMs, now: clock.now() });
      const [budget] = result.type === 'reached' ? result.budgets : [];
      if (budget === undefined) return { type: 'admitted' };
      const answer = await askToRaise(questions, { owner: call, turn, budget, amountMicros, signal }).catch((error: unknown) => {
        neverMade.add(call.id);
        throw error;
      });
      if (answer === 'raised') continue;
      reserved.delete(call.id);
      return { type: 'refused', message: refusal(budget, amountMicros, prices.currency) };
    }
  }

  return {
    name: 'accounts of model calls',
    prices,
    records,
    needsAdmission: watch.has,
    defaultMaxOutputTokens: settings.defaultMaxOutputTokens,
    admit,
    settle(call) {
      reserved.delete(call.id);
      if (!neverMade.delete(call.id)) records.add(toRecord(call, prices));
    },
    budgetsChanged: watch.refresh,
    async start() {
      await watch.start();
      await upkeep.start();
    },
    async stop() {
      watch.stop();
      await upkeep.stop();
      await records.close();
    },
  };
}

/** Keeps this server's reservations alive, and settles those of servers that are not. */
function createUpkeep({ store, clock, log, nodeId, isSoleNode, leaseMs }: AccountsDeps, hasOpen: () => boolean) {
  let working: Promise<void> = Promise.resolve();
  let cancels: (() => void)[] = [];
  const inTurn = (what: string, work: () => Promise<unknown>) => {
    working = working.then(work).then(
      () => undefined,
      (error: unknown) => log.warn({ err: error }, `${what}; it is tried again`),
    );
    return working;
  };
  const sweep = async () => {
    for (let count = SWEEP_BATCH; count === SWEEP_BATCH; ) {
      count = await store.usage.sweep({ nodeId, isSoleNode, limit: SWEEP_BATCH, now: clock.now() });
      if (count > 0) log.warn({ calls: count }, 'model calls of a server that is gone were charged at what was reserved for them');
    }
  };
  return {
    async start() {
      if (cancels.length > 0) return;
      await inTurn('what a dead server has reserved could not be settled', sweep);
      cancels = [
        clock.every(leaseMs / 3, () => {
          if (hasOpen()) void inTurn('reservations could not be extended', () => store.usage.extend({ nodeId, leaseMs }));
        }),
        clock.every(leaseMs, () => void inTurn('what a dead server has reserved could not be settled', sweep)),
      ];
    },
    async stop() {
      for (const cancel of cancels) cancel();
      cancels = [];
      await working;
    },
  };
}

function toSubject({ id, tenantId, agentId, sessionId, turnId, provider, model, startedAt }: AskedCall): CallSubject {
  return { id, tenantId, agentId, sessionId, turnId, provider, model: model ?? UNKNOWN_MODEL, startedAt };
}

function toRecord(call: EndedCall, prices: PriceTable): CallRecord {
  const { id, tenantId, agentId, sessionId, turnId, provider, model, answeredModel, outcome, startedAt, endedAt } = call;
  const counted = countedOrEstimated(call.usage, call.traffic);
  const price = priceOf(call, prices);
  return {
    id,
    tenantId,
    agentId,
    sessionId,
    turnId,
    provider,
    model: model ?? answeredModel ?? UNKNOWN_MODEL,
    usage: counted.usage,
    costMicros: costOf(counted.usage, price.prices),
    priceVersion: price.version,
    isEstimated: counted.isEstimated || price.isEstimated,
    outcome,
    startedAt,
    endedAt,
  };
}

/** By the name that was asked for, else by the one that the provider answered with. */
function priceOf({ provider, model, answeredModel, startedAt }: EndedCall, prices: PriceTable): PriceFound {
  const asked = prices.find(provider, model, startedAt);
  return asked.isEstimated && answeredModel !== null ? prices.find(provider, answeredModel, startedAt) : asked;
}

function refusal({ scope, period, limitMicros, raisedMicros, spentMicros }: BudgetRow, neededMicros: number, currency: string): string {
  const amount = (micros: number) => `${(micros / 1_000_000).toFixed(2)} ${currency}`;
  const which = period === 'total' ? scope : `${scope} for the ${period}`;
  return `The budget of the ${which} is reached: ${amount(spentMicros)} of ${amount(limitMicros + raisedMicros)} are spent, and this call may come to ${amount(neededMicros)}.`;
}
