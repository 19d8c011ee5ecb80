import { createHash } from 'node:crypto';

/** What happened, line by line; its hash says whether two runs were the same. */
export interface History {
  note(line: string): void;
  /** The first broken rule ends the run. */
  violate(rule: string, what: string): void;
  readonly violations: readonly Violation[];
  hash(): string;
  tail(lines: number): readonly string[];
}

export interface Violation {
  readonly rule: string;
  readonly what: string;
}

export function createHistory(now: () => number): History {
  const lines: string[] = [];
  const violations: Violation[] = [];
  const note = (line: string) => void lines.push(`${(now() / 1000).toFixed(3).padStart(10)} ${line}`);
  return {
    note,
    violate(rule, what) {
      note(`VIOLATION ${rule}: ${what}`);
      violations.push({ rule, what });
    },
    violations,
    hash: () => createHash('sha256').update(lines.join('\n')).digest('hex'),
    tail: (count) => lines.slice(-count),
  };
}
