import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { programEnvironment } from '../../../../test/support/program-environment.ts';
import type { CliAnswer } from './cli-process-child.ts';

/** Runs command after command in one process: a hundred starts would take longer than all they do. */
export interface CliProcess extends AsyncDisposable {
  run(args: readonly string[], more?: Readonly<Record<string, string>>): Promise<CliAnswer>;
}

/** One at a time: what is run is the real command, with these settings and no others. */
export function startCliProcess(env: Readonly<Record<string, string>>): CliProcess {
  const child: ChildProcess = fork(path.join(import.meta.dirname, 'cli-process-child.ts'), {
    env: { ...programEnvironment(), NO_COLOR: '1', ...env },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const ended = once(child, 'exit');
  return {
    async run(args, more = {}) {
      const done = new AbortController();
      const answered = once(child, 'message', { signal: done.signal });
      child.send({ args, env: more });
      const first = await Promise.race([answered, ended.then(() => undefined)]);
      if (first !== undefined) return first[0] as CliAnswer; // what the child sends
      answered.catch(() => undefined);
      done.abort();
      throw new Error(`${args.join(' ')}: the process ended with ${child.exitCode ?? child.signalCode}`);
    },
    async [Symbol.asyncDispose]() {
      if (child.connected) child.disconnect();
      await ended;
    },
  };
}
