import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { access, type FileHandle, open, writeFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { invariant, PlatformError } from '../../base/errors.ts';
import type { ExitReport, SandboxIo, SandboxRef, SandboxSpec, StartOptions } from '../driver.ts';
import { SEARCH_PATH, sandboxArguments } from './arguments.ts';
import type { BubblewrapContext } from './context.ts';
import { startFailure } from './failures.ts';
import { createLogFile } from './log-file.ts';
import { SIGKILL_CODE } from './records.ts';
import { payloadScript, SUPERVISOR } from './scripts.ts';
import { readInput, readOutput } from './streams.ts';

/** Descriptors of the supervisor beside the usual three; the script names them too. */
const READY_FD = 3;
const SCRIPT_FD = 4;

/** V8 sets this much address space aside that it never fills; the limit counts it all the same. */
const RESERVED_BYTES = 768 * 1024 * 1024;

/** What a host without control groups can hold: each process by itself. */
export function processLimitsOf(bubblewrap: BubblewrapContext, spec: SandboxSpec) {
  if (bubblewrap.limits !== undefined) return undefined;
  // As root the limit would count all processes of that user on the host, the server's other sandboxes among them.
  return { dataBytes: spec.memoryBytes + RESERVED_BYTES, processes: bubblewrap.system.isRoot ? undefined : spec.pids };
}

/** Claims the incarnation, for ever. Throws `sandbox_conflict` when that was done before. */
export async function claimStart({ state }: BubblewrapContext, ref: SandboxRef): Promise<SandboxSpec> {
  const spec = await state.spec(ref.handle);
  const isFirst = spec === undefined ? undefined : await state.claim(ref.handle);
  if (spec === undefined || isFirst === undefined)
    throw new PlatformError('sandbox_start_failed', { detail: `The incarnation ${ref.incarnation} does not exist (any more).` });
  if (!isFirst) throw new PlatformError('sandbox_conflict', { detail: `The incarnation ${ref.incarnation} was started before.` });
  return spec;
}

interface StartRequest {
  readonly ref: SandboxRef;
  readonly spec: SandboxSpec;
  readonly onAttached: StartOptions['onAttached'];
}

/** Resolves when every wall stands and the program is about to run. What a failure leaves is removed by the caller. */
export async function startSandbox(bubblewrap: BubblewrapContext, { ref, spec, onAttached }: StartRequest): Promise<SandboxIo> {
  const { limits } = bubblewrap;
  const { handle } = ref;
  await requireMounts(spec);
  await requirePrograms(bubblewrap, spec);
  await writeLaunch(bubblewrap, handle, spec);
  await limits?.create(handle, spec);
  const { supervisor, ready, isRunning, ...io } = await spawnSupervisor(bubblewrap, handle);
  onAttached?.();
  if (!(await isRunning)) {
    io.stdout.resume();
    throw startFailure(await text(io.stderr));
  }
  bubblewrap.closing.addEventListener('abort', () => letGo(supervisor, ready), { once: true });
  return { ...io, exited: endOf(bubblewrap, handle, { supervisor, ready }) };
}

/** The engine refuses to mount what is not there, at creation and again at the start. */
export async function requireMounts(spec: SandboxSpec): Promise<void> {
  for (const { hostPath, path: inside } of spec.mounts) {
    // The mount point would be made as root, on a way that the agent can bend with links.
    if (spec.mounts.some((other) => !other.isReadOnly && inside.startsWith(`${other.path}/`)))
      throw new PlatformError('sandbox_start_failed', {
        detail: `Bubblewrap cannot mount ${inside} inside a directory that the agent may write to. Choose another place, or use Docker or Podman.`,
      });
    await access(hostPath).catch((cause: unknown) => {
      throw new PlatformError('sandbox_start_failed', { detail: 'A directory that the sandbox mounts does not exist.', cause });
    });
  }
}

/** An image would carry these; here the host must have them. */
export async function requirePrograms({ system }: BubblewrapContext, spec: SandboxSpec): Promise<void> {
  for (const [inside, host] of Object.entries(system.programs)) {
    if (!spec.argv.some((word) => word.startsWith(`${inside}/`))) continue;
    await access(host).catch((cause: unknown) => {
      throw new PlatformError('image_missing', {
        detail: `Bubblewrap runs agents from this host's files, and there is no ${host}. Install the agent there (docs/runtimes.md says how).`,
        cause,
      });
    });
  }
}

/** Bubblewrap reads its arguments and the first program from files: a command line could be seen by every user of the host. */
async function writeLaunch(bubblewrap: BubblewrapContext, handle: string, spec: SandboxSpec): Promise<void> {
  const { state, system } = bubblewrap;
  const { arguments: argumentsFile, script, etc } = state.paths(handle);
  const words = sandboxArguments(spec, system, etc);
  const payload = payloadScript({
    argv: spec.argv,
    env: { PATH: SEARCH_PATH, HOME: '/home/agent', ...spec.env },
    cwd: spec.cwd,
    user: system.isRoot ? spec : undefined,
    processLimits: processLimitsOf(bubblewrap, spec),
    scriptFd: SCRIPT_FD,
    readyFd: READY_FD,
  });
  await writeFile(argumentsFile, words.map((word) => `${word}\0`).join(''), { mode: 0o600 });
  await writeFile(script, payload, { mode: 0o600 });
}

interface Supervised {
  readonly supervisor: ChildProcess;
  /** One byte when the program is about to run; its end when the exit is on disk. */
  readonly ready: Readable;
}

type Attached = Supervised & Omit<SandboxIo, 'exited'> & { readonly isRunning: Promise<boolean> };

async function spawnSupervisor(bubblewrap: BubblewrapContext, handle: string): Promise<Attached> {
  const { state, limits, spawn } = bubblewrap;
  const { script, arguments: argumentsFile, status, identity, owner, exit } = state.paths(handle);
  const files: FileHandle[] = [];
  const openFile = async (file: string, flags: string): Promise<number> => {
    const handleOfFile = await open(file, flags, 0o600);
    files.push(handleOfFile);
    return handleOfFile.fd;
  };
  try {
    const fds = [
      await openFile(script, 'r'),
      await openFile(state.seccompFile, 'r'),
      await openFile(argumentsFile, 'r'),
      await openFile(status, 'w'),
    ];
    const words = [identity, owner, exit, ...(limits?.groups(handle) ?? [])];
    return await spawn(SUPERVISOR, words, ['pipe', ...fds], (supervisor) => attach(bubblewrap, handle, supervisor));
  } finally {
    for (const file of files) await file.close();
  }
}

function attach({ state, log }: BubblewrapContext, handle: string, supervisor: ChildProcess): Attached {
  const { stdin, stdout, stderr } = supervisor;
  invariant(stdin !== null && stdout !== null && stderr !== null, 'the three streams of the supervisor are pipes');
  // The fourth of the streams that were asked for.
  const ready = supervisor.stdio[READY_FD] as Readable;
  const logFile = createLogFile(state.paths(handle).log, log);
  return {
    supervisor,
    ready,
    isRunning: firstByte(ready),
    stdin: readInput(stdin, log),
    stdout: readOutput(stdout, logFile.add),
    stderr: readOutput(stderr, logFile.add),
  };
}

/** The pipe alone tells: a program may be over before its byte is read, and then the exit may be told first. */
function firstByte(ready: Readable): Promise<boolean> {
  return new Promise((resolve) => {
    ready.once('data', () => resolve(true));
    ready.once('close', () => resolve(false));
  });
}

async function endOf(bubblewrap: BubblewrapContext, handle: string, { supervisor, ready }: Supervised): Promise<ExitReport> {
  const { state, closing, log } = bubblewrap;
  const owner = await state.owner(handle);
  if (!ready.closed && supervisor.exitCode === null && supervisor.signalCode === null)
    await Promise.race([once(ready, 'close'), once(supervisor, 'exit')]);
  // A driver that was closed has let go of the streams, which says nothing of the sandbox.
  if (closing.aborted) return new Promise(() => undefined);
  try {
    if (owner !== undefined) await state.exits.settle(handle, owner, SIGKILL_CODE);
    const ended = await state.exits.read(handle);
    if (ended !== undefined) return ended.report;
  } catch (error) {
    log.warn({ err: error, sandbox: handle }, 'how a sandbox ended could not be read');
  }
  return { exitCode: null, signal: 'SIGKILL', isOutOfMemory: false };
}

function letGo(supervisor: ChildProcess, ready: Readable): void {
  supervisor.unref();
  for (const stream of [supervisor.stdin, supervisor.stdout, supervisor.stderr, ready]) stream?.destroy();
}
