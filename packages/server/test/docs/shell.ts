import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { waitFor } from '../support/wait-for.ts';

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** One shell for all commands of a page: what one of them sets, the next ones have. */
export interface Shell {
  run(command: string): Promise<Ran>;
  /** The same with both outputs in `stdout`, in the order in which they were written. */
  runMerged(command: string): Promise<Ran>;
  /** For a command that does not end by itself: until it has written what is expected, then it is interrupted. */
  watch(command: string, expected: RegExp): Promise<Ran>;
  close(): Promise<void>;
}

const COMMAND_MS = 90_000;

export async function openShell(options: {
  readonly cwd: string;
  readonly scratch: string;
  readonly env: Readonly<Record<string, string>>;
}): Promise<Shell> {
  const child = spawn('bash', ['--noprofile', '--norc', '-s'], { cwd: options.cwd, env: options.env, stdio: ['pipe', 'pipe', 'inherit'] });
  const said: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => said.push(line));
  let count = 0;
  // A failing curl in front of a pipe is a failure.
  child.stdin.write('set -o pipefail -m\n');

  async function begin(command: string): Promise<string> {
    const file = path.join(options.scratch, `command-${count++}`);
    await writeFile(file, `${command}\n`);
    return file;
  }
  async function ran(file: string, code: number): Promise<Ran> {
    const [stdout, stderr] = await Promise.all([readFile(`${file}.out`, 'utf8'), readFile(`${file}.err`, 'utf8')]);
    return { code, stdout, stderr };
  }
  const word = (mark: string, what: string) =>
    waitFor(
      () => {
        if (child.exitCode !== null) throw new Error(`the shell ended with ${child.exitCode} at ${what}`);
        return said.find((line) => line.startsWith(`${mark} `))?.slice(mark.length + 1);
      },
      { timeoutMs: COMMAND_MS, what },
    );

  async function run(command: string, isMerged: boolean): Promise<Ran> {
    const file = await begin(command);
    const errors = isMerged ? `2>&1; : >'${file}.err'` : `2>'${file}.err'`;
    child.stdin.write(`{ . '${file}'; code=$?; } </dev/null >'${file}.out' ${errors}; echo "${file} $code"\n`);
    return ran(file, Number(await word(file, command)));
  }

  return {
    run: (command) => run(command, false),
    runMerged: (command) => run(command, true),
    async watch(command, expected) {
      const file = await begin(command);
      child.stdin.write(
        `: >'${file}.out' >'${file}.err'; (. '${file}') >'${file}.out' 2>'${file}.err' </dev/null & echo "${file} $!"; disown\n`,
      );
      const group = -Number(await word(file, command));
      try {
        return await waitFor(
          async () => {
            const now = await ran(file, 0);
            if (expected.test(now.stdout) || expected.test(now.stderr)) return now;
            if (!isAlive(group)) throw new Error(`it has ended by itself:\n${now.stdout}${now.stderr}`);
            return undefined;
          },
          { timeoutMs: COMMAND_MS, what: `${command} to show ${expected}` },
        );
      } finally {
        if (isAlive(group)) process.kill(group, 'SIGTERM');
        await waitFor(() => !isAlive(group), { timeoutMs: COMMAND_MS, what: `${command} to end` });
      }
    },
    async close() {
      if (child.exitCode !== null) return;
      const ended = once(child, 'exit');
      child.stdin.end();
      await ended;
    },
  };
}

function isAlive(group: number): boolean {
  try {
    process.kill(group, 0);
    return true;
  } catch {
    return false;
  }
}
