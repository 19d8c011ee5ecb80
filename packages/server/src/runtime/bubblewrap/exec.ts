import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { open, unlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { invariant, PlatformError } from '../../base/errors.ts';
import { newUnique } from '../../base/ids.ts';
import type { ExecCommand, SandboxProcess, SandboxRef, SandboxSpec } from '../driver.ts';
import { joinArguments, SEARCH_PATH } from './arguments.ts';
import type { BubblewrapContext } from './context.ts';
import { findProcesses } from './processes.ts';
import { shellCode } from './records.ts';
import { JOIN, payloadScript } from './scripts.ts';
import { processLimitsOf } from './start.ts';
import { readInput, readOutput } from './streams.ts';

const SCRIPT_FD = 3;
const SECCOMP_FD = 4;

/** Joins the groups and the namespaces of the running sandbox, puts up the walls that a process has for itself, and runs. */
export async function execInSandbox(bubblewrap: BubblewrapContext, ref: SandboxRef, command: ExecCommand): Promise<SandboxProcess> {
  const { state, system, limits, spawn } = bubblewrap;
  const { handle } = ref;
  const [spec, ended] = [await state.spec(handle), await state.exits.read(handle)];
  const init = ended === undefined ? (await findProcesses(bubblewrap, handle))?.init : undefined;
  const isPaused = (await limits?.freezer?.isFrozen(handle)) === true;
  if (spec === undefined || init === undefined || isPaused)
    throw new PlatformError('sandbox_exited', { detail: `The sandbox ${ref.sandbox} is not running.` });
  const groups = limits?.groups(handle) ?? [];
  const script = await openScript(bubblewrap, handle, payloadOf(bubblewrap, spec, command));
  const seccomp = await open(state.seccompFile, 'r');
  try {
    const enter = ['nsenter', '--target', String(init), ...namespaces(system.isRoot), '--'];
    const join = joinArguments(spec, system, { script: SCRIPT_FD, seccomp: SECCOMP_FD });
    return await spawn(JOIN, [String(groups.length), ...groups, ...enter, ...join], [script.fd, seccomp.fd], (child) =>
      attach(bubblewrap, child),
    );
  } finally {
    await Promise.all([script.close(), seccomp.close()]);
  }
}

function attach({ log, closing }: BubblewrapContext, child: ChildProcess): SandboxProcess {
  const exited = once(child, 'exit').then(([code, signal]) => ({ exitCode: shellCode(code, signal) }));
  const letGo = (): void => {
    child.unref();
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.destroy();
  };
  closing.addEventListener('abort', letGo, { once: true });
  void exited.then(
    () => closing.removeEventListener('abort', letGo),
    () => undefined, // it was never spawned, which `spawn` tells
  );
  const { stdin, stdout, stderr } = child;
  invariant(stdin !== null && stdout !== null && stderr !== null, 'the three streams of a command are pipes');
  return { stdin: readInput(stdin, log), stdout: readOutput(stdout, keepNothing), stderr: readOutput(stderr, keepNothing), exited };
}

/** The namespace of users comes with a server that is not root, and with it the right to enter the others. */
function namespaces(isRoot: boolean): string[] {
  return [...(isRoot ? [] : ['--user', '--preserve-credentials']), '--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup'];
}

function payloadOf(bubblewrap: BubblewrapContext, spec: SandboxSpec, { argv, env, cwd }: ExecCommand): string {
  return payloadScript({
    argv,
    env: { PATH: SEARCH_PATH, HOME: '/home/agent', ...spec.env, ...env },
    cwd: cwd ?? spec.cwd,
    user: bubblewrap.system.isRoot ? spec : undefined,
    processLimits: processLimitsOf(bubblewrap, spec),
    scriptFd: SCRIPT_FD,
    readyFd: undefined,
  });
}

/** Needs no name once it is open. */
async function openScript({ state }: BubblewrapContext, handle: string, text: string): ReturnType<typeof open> {
  const file = path.join(state.paths(handle).directory, `exec-${newUnique()}`);
  await writeFile(file, text, { mode: 0o600, flag: 'wx' });
  const opened = await open(file, 'r');
  await unlink(file);
  return opened;
}

/** As in the engines, only the main program's output is kept as the log. */
async function keepNothing(): Promise<void> {
  // Nothing to do.
}
