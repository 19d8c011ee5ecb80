import { PROBLEM_KINDS, type ProblemKind } from '@cloister/api';
import { EXIT } from './exit-codes.ts';

/** Exhaustive on purpose: a new kind of problem has to choose its code. */
const BY_KIND: Readonly<Record<ProblemKind, number>> = {
  invalid: EXIT.rejected,
  unauthenticated: EXIT.refused,
  forbidden: EXIT.refused,
  not_found: EXIT.notFound,
  method_not_allowed: EXIT.rejected,
  conflict: EXIT.rejected,
  gone: EXIT.notFound,
  too_slow: EXIT.unavailable,
  too_large: EXIT.rejected,
  range_unsatisfiable: EXIT.rejected,
  unsupported_media: EXIT.rejected,
  unprocessable: EXIT.rejected,
  exhausted: EXIT.unavailable,
  internal: EXIT.failed,
  not_implemented: EXIT.rejected,
  upstream: EXIT.failed,
  unavailable: EXIT.unavailable,
  timeout: EXIT.unavailable,
  storage_full: EXIT.unavailable,
};

export function exitCodeOfKind(kind: ProblemKind): number {
  return BY_KIND[kind];
}

/** For an answer whose code we do not know, such as one of a newer server. */
export function exitCodeOfStatus(status: number): number {
  const kinds = Object.entries(PROBLEM_KINDS).filter(([, row]) => row.status === status);
  const kind = kinds.map(([name]) => name).find((name): name is ProblemKind => Object.hasOwn(BY_KIND, name));
  if (kind !== undefined) return BY_KIND[kind];
  return status >= 500 ? EXIT.failed : EXIT.rejected;
}
