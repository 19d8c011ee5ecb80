import { existsSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { systemClock } from '../../base/clock.ts';
import { invariant, PlatformError } from '../../base/errors.ts';
import type { ExecCommand, RuntimeDriver, SandboxIo, SandboxObservation, SandboxProcess, SandboxRef, SandboxSpec } from '../driver.ts';
import { createFakeEngine, type FakeEngine, type FakeSandbox } from './engine.ts';
import { type FakeProcess, type FakeProgram, startFakeProcess } from './process.ts';
import { createFakeServices } from './services.ts';
import { goOn, sleepPower } from './sleep.ts';

export interface FakeDriverOptions {
  /** What can run: the first word of a command names one. */
  readonly programs: Readonly<Record<string, FakeProgram>>;
  /** Where the sandboxes live. Two drivers on one engine are two processes on one host. */
  readonly engine?: FakeEngine;
}

/**
 * Sandboxes as functions in this process: no isolation at all, for tests, torture and load. It keeps the same laws as
 * the real drivers (`conformance.ts`), so what works on it works on them.
 */
export function createFakeDriver(options: FakeDriverOptions): RuntimeDriver {
  const engine = options.engine ?? createFakeEngine(systemClock);
  const { programs } = options;
  return {
    name: 'fake',
    capabilities: { isIsolated: false, isolationClass: 'none', supportsLimits: false, usesImages: false },
    sleep: sleepPower(engine),
    probe: async () => ({ ok: true, version: 'fake', detail: 'Functions in the server process, without isolation.' }),
    hasImage: async () => true,
    create: async (spec, call) => create(engine, spec, call?.signal),
    start: async (ref, call) => {
      const io = start(engine, ref, { programs, signal: call?.signal });
      call?.onAttached?.();
      return io;
    },
    stop: async (ref, { graceMs, signal }) => {
      signal?.throwIfAborted();
      await stop(engine, ref, graceMs);
    },
    async remove(ref, call) {
      call?.signal?.throwIfAborted();
      const sandbox = engine.find(ref.handle);
      if (sandbox === undefined) return;
      killAll(sandbox);
      engine.remove(sandbox);
    },
    async inspect(ref, call) {
      call?.signal?.throwIfAborted();
      const sandbox = engine.find(ref.handle);
      return sandbox === undefined ? undefined : observation(sandbox);
    },
    async list({ installation }, call) {
      call?.signal?.throwIfAborted();
      return engine
        .all()
        .filter((sandbox) => sandbox.spec.labels.installation === installation)
        .map(observation);
    },
    exec: async (ref, command, call) => exec(engine, ref, { command, programs, signal: call?.signal }),
    async logs(ref, logs) {
      logs?.signal?.throwIfAborted();
      const text = engine.find(ref.handle)?.log.text() ?? '';
      return text
        .split(/(?<=\n)/)
        .slice(-(logs?.tailLines ?? 100))
        .join('');
    },
    watch: ({ installation }, onExit, { signal }) =>
      engine.watch((sandbox, report) => sandbox.spec.labels.installation === installation && onExit({ ref: sandbox.ref, report }), signal),
    services: createFakeServices(),
    close: async () => undefined,
  };
}

function create(engine: FakeEngine, spec: SandboxSpec, signal: AbortSignal | undefined): SandboxRef {
  signal?.throwIfAborted();
  const existing = engine.findIncarnation(spec.labels);
  if (existing !== undefined) {
    if (sameSpec(existing.spec, spec)) return existing.ref;
    throw new PlatformError('sandbox_conflict', {
      detail: `The incarnation ${spec.labels.incarnation} already exists with another specification.`,
    });
  }
  invariant(spec.uid > 0 && spec.gid > 0, 'a sandbox never runs as root');
  requireMounts(spec);
  return engine.add(spec).ref;
}

function start(
  engine: FakeEngine,
  ref: SandboxRef,
  { programs, signal }: { readonly programs: FakeDriverOptions['programs']; readonly signal: AbortSignal | undefined },
): SandboxIo {
  signal?.throwIfAborted();
  const sandbox = engine.find(ref.handle);
  if (sandbox === undefined)
    throw new PlatformError('sandbox_start_failed', { detail: `The incarnation ${ref.incarnation} does not exist (any more).` });
  if (sandbox.state !== 'created')
    throw new PlatformError('sandbox_conflict', { detail: `The incarnation ${ref.incarnation} was started before.` });
  try {
    requireMounts(sandbox.spec);
  } catch (error) {
    engine.remove(sandbox);
    throw error;
  }
  const { argv, env, cwd } = sandbox.spec;
  const main = launch(sandbox, programs, { argv, env, cwd });
  sandbox.main = main;
  sandbox.state = 'running';
  void main.exited.then((report) => {
    sandbox.state = 'exited';
    sandbox.exit = report;
    for (const process of sandbox.execs) process.kill();
    engine.announce(sandbox, report);
  });
  return main;
}

function exec(
  engine: FakeEngine,
  ref: SandboxRef,
  options: { readonly command: ExecCommand; readonly programs: FakeDriverOptions['programs']; readonly signal: AbortSignal | undefined },
): SandboxProcess {
  options.signal?.throwIfAborted();
  const sandbox = engine.find(ref.handle);
  if (sandbox?.state !== 'running') throw new PlatformError('sandbox_exited', { detail: `The sandbox ${ref.sandbox} is not running.` });
  const { argv, env, cwd } = options.command;
  const process = launch(sandbox, options.programs, { argv, env: { ...sandbox.spec.env, ...env }, cwd: cwd ?? sandbox.spec.cwd }, 'exec');
  sandbox.execs.add(process);
  const exited = process.exited.then((report) => {
    sandbox.execs.delete(process);
    return { exitCode: report.exitCode ?? (report.signal === 'SIGTERM' ? 143 : 137) };
  });
  return { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr, exited };
}

function launch(
  sandbox: FakeSandbox,
  programs: FakeDriverOptions['programs'],
  command: { readonly argv: readonly string[]; readonly env: Readonly<Record<string, string>>; readonly cwd: string },
  kind: 'main' | 'exec' = 'main',
): FakeProcess {
  const name = command.argv[0] ?? '';
  const program = Object.hasOwn(programs, name) ? programs[name] : undefined;
  // As in the engines, only the main program's output is kept as the log.
  const onOutput = (chunk: Buffer) => kind === 'main' && sandbox.log.add(chunk);
  return startFakeProcess({ ...command, program, spec: sandbox.spec, onOutput });
}

/** A real engine refuses to mount what is not there, at creation and again at the start. */
function requireMounts(spec: SandboxSpec): void {
  if (spec.mounts.every((mount) => existsSync(mount.hostPath))) return;
  throw new PlatformError('sandbox_start_failed', { detail: 'A directory that the sandbox mounts does not exist.' });
}

async function stop(engine: FakeEngine, ref: SandboxRef, graceMs: number): Promise<void> {
  const sandbox = engine.find(ref.handle);
  const main = sandbox?.main;
  if (sandbox === undefined || main === undefined) return;
  goOn(sandbox);
  main.terminate();
  const cancel = engine.clock.after(graceMs, () => main.kill());
  await main.exited;
  cancel();
}

function killAll(sandbox: FakeSandbox): void {
  sandbox.main?.kill();
  for (const process of sandbox.execs) process.kill();
}

function observation(sandbox: FakeSandbox): SandboxObservation {
  const { ref, spec, state, createdAt, exit } = sandbox;
  return { ref, labels: spec.labels, state, createdAt, exit };
}

/** Key order does not matter: plain data, compared as such. */
function sameSpec(a: SandboxSpec, b: SandboxSpec): boolean {
  return isDeepStrictEqual(a, b);
}
