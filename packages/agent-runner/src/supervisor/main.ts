// `supervisor.mjs -- command …`: runs an agent program that is not Node beside the forwarder, and ends as it ends.
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { claimForwarder, readEnvironment } from '../environment.ts';
import { startForwarder } from '../forwarder/forwarder.ts';

const CANNOT_RUN = 126;
const NOT_FOUND = 127;
const USAGE = 64;

const separator = process.argv.indexOf('--', 2);
const [command, ...args] = separator < 0 ? [] : process.argv.slice(separator + 1);

if (command === undefined) {
  console.error('Usage: supervisor.mjs -- <command> [arguments]');
  process.exitCode = USAGE;
} else {
  const { gatewayPort, gatewaySocket } = readEnvironment();
  if (claimForwarder()) await startForwarder({ port: gatewayPort, socketPath: gatewaySocket });
  supervise(command, args);
}

function supervise(program: string, programArgs: readonly string[]): void {
  const running: { child?: ChildProcess } = {};
  // Before the program starts, which may be the one to send it. None is handled until this function has ended.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => running.child?.kill(signal));
  const child = spawn(program, programArgs, { stdio: 'inherit' });
  running.child = child;
  child.on('error', (error: NodeJS.ErrnoException) => {
    // Also raised when a signal could not be passed on; the program then still runs.
    if (child.pid !== undefined) return console.error(`supervisor: ${error.message}`);
    console.error(`supervisor: cannot start ${program}: ${error.message}`);
    process.exit(error.code === 'ENOENT' ? NOT_FOUND : CANNOT_RUN);
  });
  child.on('exit', (code, signal) => process.exit(signal === null ? (code ?? 1) : 128 + constants.signals[signal]));
}
