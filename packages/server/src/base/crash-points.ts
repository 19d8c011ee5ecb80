/**
 * Places where a crash would hurt most, by name, so that tests can die exactly there. In the product a
 * passage does nothing: only a test's own entry point has the means to arm them, no setting does.
 */
export const CRASH_POINTS = [
  'accept.before_commit',
  'accept.after_commit',
  'lease.after_commit',
  'warm.after_claim',
  'run.after_sandbox',
  'run.before_finish',
  'run.after_finish',
  'outbox.after_send_before_mark',
  'migrate.between_statements',
] as const;
export type CrashPoint = (typeof CRASH_POINTS)[number];

let onPassage: ((name: CrashPoint) => void) | undefined;

export function crashPoint(name: CrashPoint): void {
  onPassage?.(name);
}

/** For tests: calls `run` at every passage from now on. */
export function armCrashPoints(run: (name: CrashPoint) => void): void {
  onPassage = run;
}
