/** One measured line: what was reached, what must be and what is hoped for. */
export interface Row {
  readonly measure: string;
  readonly result: string;
  readonly must: string;
  readonly goal: string;
  /** Undefined where nothing is demanded, or where it could not run. */
  readonly isMet: boolean | undefined;
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export const median = (values: readonly number[]): number => percentile(values, 0.5);

export const ms = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)} ms`;

export function printTable(rows: readonly Row[]): void {
  const cells = rows.map((row) => [
    row.measure,
    row.result,
    row.must,
    row.goal,
    row.isMet === undefined ? '' : row.isMet ? 'met' : 'MISSED',
  ]);
  const lines = [['measure', 'result', 'must', 'goal', ''], ...cells];
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0))) ?? [];
  for (const line of lines) console.log(line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
}
