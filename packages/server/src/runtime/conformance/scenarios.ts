/**
 * What the suite lets run inside. Real engines run it with a POSIX shell and node (`posixCommand`); a driver
 * whose sandboxes hold something else says itself how each is done.
 */
export type Scenario =
  /** Copies stdin to stdout until its end. */
  | { readonly name: 'cat' }
  | { readonly name: 'exit'; readonly code: number }
  /** `hello` to stdout and `warning` to stderr, at once, then ends. */
  | { readonly name: 'hello' }
  /** That many bytes of `EMIT_PATTERN` to stdout. */
  | { readonly name: 'emit'; readonly bytes: number }
  /** Runs until SIGTERM, and dies of it. */
  | { readonly name: 'hang' }
  /** Says `ready`, then runs and does not care for SIGTERM. */
  | { readonly name: 'stubborn' }
  | { readonly name: 'kill-self' }
  | { readonly name: 'out-of-memory' }
  /** JSON of what it was started with: `{ args, cwd, value }`, the last being the variable CONFORMANCE. */
  | { readonly name: 'report'; readonly args: readonly string[] }
  | { readonly name: 'missing' };

/** Characters of one to four bytes, so that most cuts are in the middle of one. */
export const EMIT_PATTERN = 'aé€😀\n';

const REPORT =
  'const { argv, env } = process; console.log(JSON.stringify({ args: argv.slice(1), cwd: process.cwd(), value: env.CONFORMANCE }))';
const OUT_OF_MEMORY = 'const held = []; for (;;) held.push(Buffer.alloc(8 << 20, 1));';

export function posixCommand(scenario: Scenario): readonly string[] {
  switch (scenario.name) {
    case 'cat':
      return ['cat'];
    case 'exit':
      return ['sh', '-c', `exit ${scenario.code}`];
    case 'hello':
      return ['sh', '-c', 'echo hello; echo warning >&2'];
    case 'emit':
      return ['node', '-e', `process.stdout.write(Buffer.alloc(${scenario.bytes}, ${JSON.stringify(EMIT_PATTERN)}))`];
    case 'hang':
      return ['sleep', '3600'];
    case 'stubborn':
      return ['sh', '-c', 'trap "" TERM; echo ready; while :; do sleep 1; done'];
    case 'kill-self':
      return ['sh', '-c', 'kill -9 $$'];
    case 'out-of-memory':
      return ['node', '-e', OUT_OF_MEMORY];
    case 'report':
      return ['node', '-e', REPORT, '--', ...scenario.args];
    case 'missing':
      return ['no-such-program'];
  }
}

/** For engines with a shell inside only: a child is killed for memory, its parent ends well. */
export const CHILD_OUT_OF_MEMORY = ['sh', '-c', `node -e '${OUT_OF_MEMORY}'; exit 0`] as const;
