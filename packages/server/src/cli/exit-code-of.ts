import { PROBLEM_KINDS, type ProblemKind } from '@cloister/api';
import { EXIT, type ExitName } from './exit-codes.ts';

/** Exhaustive on purpose: a new kind of problem has to choose its code. docs/cli.md has the same table. */
export const EXIT_BY_KIND: Readonly<Record<ProblemKind, ExitName>> = {
  invalid: 'rejected',
  unauthenticated: 'refused',
  forbidden: 'refused',
  not_found: 'notFound',
  method_not_allowed: 'rejected',
  conflict: 'rejected',
  gone: 'notFound',
  too_slow: 'unavailable',
  too_large: 'rejected',
  range_unsatisfiable: 'rejected',
  unsupported_media: 'rejected',
  unprocessable: 'rejected',
  exhausted: 'unavailable',
  internal: 'failed',
  not_implemented: 'rejected',
  upstream: 'failed',
  unavailable: 'unavailable',
  timeout: 'unavailable',
  storage_full: 'unavailable',
};

export function exitCodeOfKind(kind: ProblemKind): number {
  return EXIT[EXIT_BY_KIND[kind]];
}

/** For an answer whose code we do not know, such as one of a newer server. */
export function exitCodeOfStatus(status: number): number {
  const kinds = Object.entries(PROBLEM_KINDS).filter(([, row]) => row.status === status);
  const kind = kinds.map(([name]) => name).find((name): name is ProblemKind => Object.hasOwn(EXIT_BY_KIND, name));
  if (kind !== undefined) return exitCodeOfKind(kind);
  return status >= 500 ? EXIT.failed : EXIT.rejected;
}
