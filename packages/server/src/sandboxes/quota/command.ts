import { spawn } from 'node:child_process';

export interface CommandResult {
  readonly code: number;
  readonly stderr: string;
}

/** Where the system has its own programs; no other place is looked at. */
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';
const TIMEOUT_MS = 60_000;
const MAX_STDERR = 4096;

/** Runs a program of the system with these very arguments, no shell between. Code 127 stands for one that is not there. */
export function runCommand(program: string, args: readonly string[]): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { env: { PATH, LC_ALL: 'C' }, stdio: ['ignore', 'ignore', 'pipe'], timeout: TIMEOUT_MS });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (stderr.length < MAX_STDERR) stderr += text;
    });
    child.once('error', (error) => resolve({ code: 127, stderr: error.message }));
    child.once('close', (code, signal) =>
      resolve({ code: code ?? 128, stderr: signal === null ? stderr : `${stderr} (ended by ${signal})` }),
    );
  });
}
