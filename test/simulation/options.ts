import { createRandom, type Random } from '../torture/random.ts';

/** What one seed makes of a run. Each fault is there in some runs and not in others, so that none hides another. */
export interface SimulationOptions {
  readonly seed: number;
  readonly nodes: number;
  /** One node that shares its store with nobody. */
  readonly isSoleNode: boolean;
  readonly sessions: number;
  readonly messagesPerSession: number;
  readonly hasFlood: boolean;
  readonly faultMs: number;
  readonly slots: number;
  readonly perTenant: number | undefined;
  readonly perAgent: number | undefined;
  readonly maxTurnAttempts: number;
  readonly faults: FaultRates;
}

/** Chances at each call of the store, at each notice, and mean times between what happens by itself. */
export interface FaultRates {
  readonly crashBefore: number;
  readonly crashAfter: number;
  readonly unavailable: number;
  readonly slow: number;
  readonly dropNotice: number;
  readonly lateNotice: number;
  readonly pauseEveryMs: number;
  readonly stopEveryMs: number;
  readonly clockJumpEveryMs: number;
}

const NONE = Number.POSITIVE_INFINITY;

/** Nothing goes wrong: how every run ends. */
export const CALM: FaultRates = {
  crashBefore: 0,
  crashAfter: 0,
  unavailable: 0,
  slow: 0,
  dropNotice: 0,
  lateNotice: 0,
  pauseEveryMs: NONE,
  stopEveryMs: NONE,
  clockJumpEveryMs: NONE,
};

export function optionsOf(seed: number): { readonly options: SimulationOptions; readonly random: Random } {
  const random = createRandom(Math.imul(seed + 1, 0x9e3779b1));
  const some = (probability: number, value: () => number, otherwise = 0) => (random.isLucky(probability) ? value() : otherwise);
  const nodes = 1 + random.whole(3);
  const faults: FaultRates = {
    crashBefore: some(0.6, () => random.upTo(0.012)),
    crashAfter: some(0.6, () => random.upTo(0.012)),
    unavailable: some(0.5, () => random.upTo(0.05)),
    slow: some(0.5, () => random.upTo(0.02)),
    dropNotice: some(0.5, () => random.upTo(0.5)),
    lateNotice: some(0.5, () => random.upTo(0.5)),
    pauseEveryMs: some(0.6, () => 10_000 + random.whole(40_000), NONE),
    stopEveryMs: some(0.4, () => 20_000 + random.whole(60_000), NONE),
    clockJumpEveryMs: some(0.6, () => 10_000 + random.whole(60_000), NONE),
  };
  const options: SimulationOptions = {
    seed,
    nodes,
    isSoleNode: nodes === 1 && random.isLucky(0.6),
    sessions: 2 + random.whole(4),
    messagesPerSession: 2 + random.whole(5),
    hasFlood: random.isLucky(0.5),
    faultMs: 30_000 + random.whole(90_000),
    slots: 1 + random.whole(3),
    perTenant: random.isLucky(0.3) ? 1 + random.whole(3) : undefined,
    perAgent: random.isLucky(0.3) ? 1 + random.whole(2) : undefined,
    maxTurnAttempts: 1 + random.whole(5),
    faults,
  };
  return { options, random };
}
