import { spawn } from 'node:child_process';
import { z } from 'zod';
import { commandEnvironment } from '../../environment.ts';
import { createOutputBuffer } from './output-buffer.ts';
import { defineTool, type ToolContext, ToolError } from './tool.ts';

const DEFAULT_TIMEOUT_MS = 120_000;
const MAX_TIMEOUT_MS = 3_600_000;
/** A background process may hold the pipe open for ever; what the command itself wrote is there by now. */
const DRAIN_MS = 100;
/** Puts both outputs into one pipe, in the order they were written, before the command's own shell begins. */
const MERGE = 'exec /bin/bash -c "$1" 2>&1';

export const bashTool = defineTool({
  name: 'bash',
  kind: 'execute',
  description:
    'Runs a command with /bin/bash in the workspace and returns its output (stdout and stderr together) and its exit code. ' +
    'Each call is a new shell: directories and variables do not carry over. ' +
    'Start long-running servers in the background with their output in a file.',
  schema: z.object({
    command: z.string().optional().describe('The command. Omit it only when `restart` is true.'),
    timeout_ms: z.number().optional().describe(`Milliseconds until the command is killed. Default ${DEFAULT_TIMEOUT_MS}.`),
    restart: z.boolean().optional().describe('Kills background processes that earlier commands left.'),
  }),
  title: ({ command }) => command ?? 'Restart the shell',
  async run({ command, timeout_ms, restart }, context) {
    if (restart === true) {
      const count = context.groups.killAll();
      if (command === undefined)
        return count === 0 ? 'The shell was restarted.' : `The shell was restarted; ${count} background process groups were killed.`;
    }
    if (command === undefined || command.trim() === '') throw new ToolError('command is missing');
    const timeoutMs = timeout_ms === undefined || timeout_ms <= 0 ? DEFAULT_TIMEOUT_MS : Math.min(timeout_ms, MAX_TIMEOUT_MS);
    return report(await runShell(command, timeoutMs, context), timeoutMs);
  },
});

interface ShellResult {
  readonly output: string;
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly isTimeout: boolean;
}

function report({ output, exitCode, signal, isTimeout }: ShellResult, timeoutMs: number): string {
  const text = output.replace(/\n$/, '');
  if (exitCode === 0 && !isTimeout) return text === '' ? '(no output)' : text;
  const reason = isTimeout ? `killed after ${timeoutMs} ms` : signal === null ? `exit code ${exitCode}` : `killed by ${signal}`;
  throw new ToolError(text === '' ? `[${reason}]` : `${text}\n[${reason}]`);
}

function runShell(command: string, timeoutMs: number, { cwd, signal, groups }: ToolContext): Promise<ShellResult> {
  signal.throwIfAborted();
  const child = spawn('/bin/bash', ['-c', MERGE, 'bash', command], {
    cwd,
    env: commandEnvironment(),
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const output = createOutputBuffer();
  let isTimeout = false;
  child.stdout.on('data', (chunk: Buffer) => output.write(chunk));
  const group = child.pid;
  if (group !== undefined) groups.add(group);
  const end = () => group !== undefined && groups.end(group);
  const timer = setTimeout(() => {
    isTimeout = true;
    end();
  }, timeoutMs);
  signal.addEventListener('abort', end, { once: true });
  return new Promise<ShellResult>((resolve, reject) => {
    child.once('error', (error) => reject(new ToolError(`cannot start bash: ${error.message}`)));
    child.once('exit', (exitCode, exitSignal) => {
      const finish = () => resolve({ output: output.text(), exitCode, signal: exitSignal, isTimeout });
      const drained = setTimeout(finish, DRAIN_MS);
      child.once('close', () => {
        clearTimeout(drained);
        finish();
      });
    });
  }).finally(() => {
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
    if (group !== undefined) groups.settle(group);
    // What background processes write from here on is read and dropped, so that they never block on it.
    child.stdout.removeAllListeners('data').resume();
  });
}
