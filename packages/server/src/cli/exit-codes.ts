import { PROBLEM_KINDS, type ProblemKind } from '@cloister/api';

/** What a script learns from the exit code; `cloister --help` prints this table. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  unavailable: 3,
  unreachable: 4,
  refused: 5,
  notFound: 6,
  rejected: 7,
  interrupted: 130,
} as const;

export const EXIT_HELP = `
Exit codes:
  0    done
  1    the turn or the command failed
  2    the command line is wrong
  3    the server cannot serve right now: unhealthy, full, overloaded, stopping
  4    no server answers at the address
  5    the key is missing or refused
  6    there is no such thing
  7    the server rejects the request: fix it first
  130  interrupted with Ctrl-C
`;

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
