/** Chance that can be repeated: the same seed gives the same run of numbers (mulberry32). */
export interface Random {
  /** From 0 up to, not including, `max`. */
  upTo(max: number): number;
  whole(max: number): number;
  isLucky(probability: number): boolean;
  /** A source of its own, so that what one part draws changes nothing for another. */
  fork(): Random;
}

export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
  return {
    upTo: (max) => next() * max,
    whole: (max) => Math.floor(next() * max),
    isLucky: (probability) => next() < probability,
    fork: () => createRandom(Math.floor(next() * 2 ** 32)),
  };
}
