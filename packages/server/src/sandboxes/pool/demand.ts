import type { WarmTemplate } from './key.ts';

/** After this time without a new session, what one of them counts for has halved. */
const HALF_LIFE_MS = 5 * 60_000;
/** One session by itself is no rate. */
const LEAST_SCORE = 1.5;
/** So many lately, and one more is kept. */
const SCORE_PER_SANDBOX = 4;
/** Below this nothing is left to remember. */
const FORGOTTEN = 0.05;

export interface Demand {
  note(key: string, template: WarmTemplate, now: number): void;
  /** What is worth keeping ready, most wanted first. */
  wanted(now: number): readonly { readonly key: string; readonly template: WarmTemplate; readonly count: number }[];
  forget(key: string): void;
}

interface Rate {
  readonly template: WarmTemplate;
  readonly score: number;
  readonly at: number;
}

/** How often sessions of a key have come lately: each counts for one, and for half as much with every five minutes that pass. */
export function createDemand(): Demand {
  const rates = new Map<string, Rate>();
  const scoreAt = ({ score, at }: Rate, now: number) => score * 0.5 ** (Math.max(0, now - at) / HALF_LIFE_MS);
  return {
    note(key, template, now) {
      const before = rates.get(key);
      rates.set(key, { template, score: (before === undefined ? 0 : scoreAt(before, now)) + 1, at: now });
    },
    wanted(now) {
      const found: { key: string; template: WarmTemplate; count: number; score: number }[] = [];
      for (const [key, rate] of rates) {
        const score = scoreAt(rate, now);
        if (score < FORGOTTEN) rates.delete(key);
        else if (score >= LEAST_SCORE) found.push({ key, template: rate.template, count: Math.ceil(score / SCORE_PER_SANDBOX), score });
      }
      return found.sort((a, b) => b.score - a.score);
    },
    forget: (key) => void rates.delete(key),
  };
}

/** Sessions that are remembered at once. */
const MAX_REMEMBERED = 1000;

/** A session that asks twice, since it found no room the first time, came once. */
export function createArrivals(): { isNew(sessionId: string): boolean } {
  const seen = new Set<string>();
  return {
    isNew(sessionId) {
      if (seen.has(sessionId)) return false;
      seen.add(sessionId);
      const [oldest] = seen;
      if (seen.size > MAX_REMEMBERED && oldest !== undefined) seen.delete(oldest);
      return true;
    },
  };
}
