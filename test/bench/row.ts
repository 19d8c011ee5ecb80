export interface Row {
  readonly measure: string;
  readonly result: string;
  readonly must: string;
  readonly goal: string;
  readonly verdict: Verdict;
  /** The numbers behind the result, for `--json`. */
  readonly values: Readonly<Record<string, number>>;
}

export type Verdict = 'goal' | 'ok' | 'MISSED' | 'info' | 'skipped';

export interface BenchOptions {
  /** How long those take that can take any time; undefined for as short as makes sense. */
  readonly minutes: number | undefined;
}

/** One measurement; it cleans up after itself and takes a bounded time. */
export interface Bench {
  readonly name: string;
  readonly needsEngine: boolean;
  /** Takes so long that it runs only when it is asked for by its name. */
  readonly isLong?: boolean;
  run(options: BenchOptions): Promise<readonly Row[]>;
}

export function verdict(isMustMet: boolean, isGoalMet: boolean): Verdict {
  if (!isMustMet) return 'MISSED';
  return isGoalMet ? 'goal' : 'ok';
}

export function skipped(measure: string, reason: string): Row {
  return { measure, result: reason, must: '', goal: '', verdict: 'skipped', values: {} };
}

/** A measurement that broke is a missed row, and the others are made all the same. */
export function failed(measure: string, error: unknown): Row {
  console.error(error);
  const result = `failed: ${error instanceof Error ? error.message : String(error)}`;
  return { measure, result, must: '', goal: '', verdict: 'MISSED', values: {} };
}

export function ms(value: number): string {
  return `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}

export interface Summary {
  readonly n: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export function summary(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { n: sorted.length, p50: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? Number.NaN };
}

export function table(rows: readonly Row[]): string {
  const cells = [
    ['measure', 'result', 'must', 'goal', 'verdict'],
    ...rows.map((row) => [row.measure, row.result, row.must, row.goal, row.verdict]),
  ];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')).join('\n');
}
