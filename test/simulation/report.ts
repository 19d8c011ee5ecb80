import type { SimulationResult } from './run.ts';

/** What a broken seed was, and how to see it again. */
export function report({ seed, options, violations, hash, tail }: SimulationResult, lines = 40): string {
  return [
    `seed ${seed} broke ${violations.length === 1 ? 'a rule' : `${violations.length} rules`} (history ${hash.slice(0, 16)})`,
    ...violations.slice(0, 5).map(({ rule, what }) => `  ${rule}: ${what}`),
    `options: ${JSON.stringify(options)}`,
    ...tail(lines),
    `again: npm run simulate -- --seed ${seed}`,
  ].join('\n');
}
