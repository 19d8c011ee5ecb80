/** What a script learns from the exit code. */
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

export type ExitName = keyof typeof EXIT;

/** What each means, as `cloister --help` and docs/cli.md say it. */
export const EXIT_MEANINGS: Readonly<Record<ExitName, string>> = {
  ok: 'done',
  failed: 'the turn or the command failed',
  usage: 'the command line is wrong',
  unavailable: 'the server cannot serve right now: unhealthy, full, overloaded, stopping',
  unreachable: 'no server answers at the address',
  refused: 'the key is missing or refused',
  notFound: 'there is no such thing',
  rejected: 'the server, or the start, rejects what was asked: fix it first',
  interrupted: 'interrupted with Ctrl-C',
};

const rows = Object.entries(EXIT_MEANINGS).map(([name, meaning]) => `  ${String(EXIT[name as ExitName]).padEnd(4)} ${meaning}\n`); // its own names

export const EXIT_HELP = `\nExit codes:\n${rows.join('')}`;
