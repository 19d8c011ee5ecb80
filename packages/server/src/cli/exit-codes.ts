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
