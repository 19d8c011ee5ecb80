import type { CallGroup } from './system-calls.ts';

/** What the attacks are told by the host. None of it helps a sandbox that holds. */
export interface AttackInput {
  /** A listener on the host that must not be reached, and where the host could be. */
  readonly hostPort: number;
  readonly hostAddresses: readonly string[];
  readonly resolvers: readonly string[];
  /** A listener in another sandbox. */
  readonly neighbourPort: number;
  readonly neighbourSocket: string;
  /** A unix socket of the host without a file. */
  readonly abstractSocket: string;
  /** A file on the host that must not be read. */
  readonly canary: string;
  readonly gatewaySocket: string;
  readonly systemCalls: readonly CallGroup[];
  readonly memoryBytes: number;
  readonly pids: number;
  readonly tmpBytes: number;
  /** What of the workspace is filled at most. */
  readonly workspaceBytes: number;
  readonly workspaceFiles: number;
  readonly floodMib: number;
}

export interface Outcome {
  readonly id: string;
  /** What was tried. */
  readonly what: string;
  /** Whether it was refused; null when it could not be tried. */
  readonly isRefused: boolean | null;
  /** How it was refused, or what got through. */
  readonly how: string;
}

export interface Kit {
  readonly input: AttackInput;
  /** Tells the host. `got` is what got through; empty when nothing did. */
  readonly tell: (id: string, what: string, seen: { readonly got: readonly string[]; readonly how: readonly string[] }) => void;
  readonly cannot: (id: string, what: string, why: string) => void;
  /** The error's code, or `ok`. */
  readonly tryTo: (run: () => unknown) => string;
  /** `connected`, or why not. */
  readonly dial: (to: { readonly host?: string; readonly port?: number; readonly path?: string }) => Promise<string>;
  readonly run: (command: string, ...args: readonly string[]) => { readonly code: number | null; readonly out: string };
  /** Makes system calls and answers each one's error, or `ok`; undefined without a way to make any. */
  readonly syscalls: (calls: CallGroup['calls']) => ReadonlyMap<string, string> | undefined;
  readonly wait: (ms: number) => Promise<unknown>;
}

/**
 * Made inside the sandbox: the text of this function and of the attacks is handed to the agent's own Node, as the
 * agent's user, so they may use nothing of this file but their parameters.
 */
export function createKit(input: AttackInput): Kit {
  const net = process.getBuiltinModule('node:net');
  const childProcess = process.getBuiltinModule('node:child_process');
  const { setTimeout: wait } = process.getBuiltinModule('node:timers/promises');
  const write = (outcome: object) => process.stdout.write(`${JSON.stringify(outcome)}\n`);
  const codeOf = (error: unknown) =>
    error instanceof Error ? ('code' in error ? String(error.code) : error.message.slice(0, 80)) : 'refused';
  const run: Kit['run'] = (command, ...args) => {
    const done = childProcess.spawnSync(command, args, { timeout: 5000, encoding: 'utf8', maxBuffer: 1 << 20 });
    return {
      code: done.status,
      out: `${done.stdout ?? ''}${done.stderr ?? ''}${done.error === undefined ? '' : codeOf(done.error)}`.trim(),
    };
  };
  return {
    input,
    run,
    wait: (ms) => wait(ms),
    tell: (id, what, { got, how }) =>
      write({ id, what, isRefused: got.length === 0, how: (got.length === 0 ? [...new Set(how)] : got).join(', ').slice(0, 400) }),
    cannot: (id, what, why) => write({ id, what, isRefused: null, how: why }),
    tryTo: (attempt) => {
      try {
        attempt();
        return 'ok';
      } catch (error) {
        return codeOf(error);
      }
    },
    dial: (to) =>
      new Promise((resolve) => {
        const socket =
          to.path === undefined
            ? net.connect({ host: to.host ?? '', port: to.port ?? 0, timeout: 1500 })
            : net.connect({ path: to.path, timeout: 1500 });
        const end = (seen: string) => {
          socket.destroy();
          resolve(seen);
        };
        socket.once('timeout', () => end('no answer'));
        socket.once('connect', () => end('connected')).once('error', (error) => end(codeOf(error)));
      }),
    syscalls: (calls) => {
      const column = { x64: 0, arm64: 1 }[process.arch as string];
      if (column === undefined || run('perl', '-v').code !== 0) return undefined;
      const lines = calls.map(
        ([name, numbers, args]) =>
          `@a = (${args}); $! = 0; $r = syscall(${numbers[column]}, @a); print "${name}=", ($r == -1 ? "$!" : "ok"), "\\n";`,
      );
      const { out } = run('perl', '-e', lines.join(' '));
      return new Map(out.split('\n').map((line) => [line.split('=')[0] ?? '', line.slice(line.indexOf('=') + 1)]));
    },
  };
}
