import type { Reading } from './reading.ts';

/** What a reading may be above the first and still count as back at the start. */
export const ALLOWANCES: Readonly<Record<keyof Reading, number>> = {
  // Connections that are kept for the next call, to the engine and to clients.
  files: 6,
  processes: 0,
  zombies: 0,
  containers: 0,
  sockets: 0,
  // What the allocator keeps, and compiled code.
  residentMb: 128,
  heapMb: 24,
};

const TITLES: Readonly<Record<keyof Reading, string>> = {
  files: 'file descriptors',
  processes: 'child processes',
  zombies: 'zombies',
  containers: 'containers',
  sockets: 'unix sockets',
  residentMb: 'resident memory (MiB)',
  heapMb: 'heap and buffers (MiB)',
};

export interface SoakRow {
  readonly what: keyof Reading;
  readonly before: number;
  readonly most: number;
  readonly after: number;
  readonly isLeak: boolean;
}

export function compare({ before, most, after }: { readonly before: Reading; readonly most: Reading; readonly after: Reading }): SoakRow[] {
  return KINDS.map((what) => ({
    what,
    before: before[what],
    most: Math.max(...[before[what], most[what], after[what]].filter((value) => !Number.isNaN(value))),
    after: after[what],
    isLeak: !(after[what] <= before[what] + ALLOWANCES[what]),
  }));
}

export const KINDS = [
  'files',
  'processes',
  'zombies',
  'containers',
  'sockets',
  'residentMb',
  'heapMb',
] as const satisfies readonly (keyof Reading)[];

/** The higher of both, field by field. */
export function highest(one: Reading, other: Reading): Reading {
  const max = (what: keyof Reading) => Math.max(one[what], other[what]);
  return {
    files: max('files'),
    processes: max('processes'),
    zombies: max('zombies'),
    containers: max('containers'),
    sockets: max('sockets'),
    residentMb: Number.NaN,
    heapMb: Number.NaN,
  };
}

export function table(rows: readonly SoakRow[]): string {
  const shown = (value: number) => (Number.isInteger(value) ? String(value) : value.toFixed(1));
  const lines = rows.map(({ what, before, most, after, isLeak }) => [
    TITLES[what],
    shown(before),
    shown(most),
    shown(after),
    `+${ALLOWANCES[what]}`,
    isLeak ? 'LEAK' : 'ok',
  ]);
  const all = [['', 'start', 'most', 'end', 'allowed', ''], ...lines];
  const widths = [0, 1, 2, 3, 4, 5].map((column) => Math.max(...all.map((line) => (line[column] ?? '').length)));
  return all
    .map((line) =>
      line
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
