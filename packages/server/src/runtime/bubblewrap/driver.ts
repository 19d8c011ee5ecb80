import { writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { systemClock } from '../../base/clock.ts';
import { invariant, PlatformError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { CallOptions, RuntimeDriver, SandboxIo, SandboxRef, SandboxSpec, StartOptions } from '../driver.ts';
import type { BubblewrapContext } from './context.ts';
import { removeSandbox, stopSandbox } from './ending.ts';
import { execInSandbox } from './exec.ts';
import { findLimits, type Limits } from './limits.ts';
import { readLogFile } from './log-file.ts';
import { listSandboxes, observe } from './observe.ts';
import { createProbe } from './probe.ts';
import { seccompFilter } from './seccomp.ts';
import { sleepPower } from './sleep.ts';
import { createSpawn } from './spawn.ts';
import { claimStart, requireMounts, requirePrograms, startSandbox } from './start.ts';
import { createStateDirectory, isSameSpec, sandboxHandle, sandboxRef } from './state.ts';
import { watchSandboxes } from './watch.ts';

export interface BubblewrapOptions {
  /** Where what is known of the sandboxes is kept; made when it is not there. Servers of one host that share it share the sandboxes. */
  readonly stateDirectory: string;
  /** Path inside → directory on the host, read-only: what an image would carry. One that is not there is left out. */
  readonly programs?: Readonly<Record<string, string>>;
  readonly log: Logger;
  /** The Node that runs the agents: this process's own when left out. */
  readonly nodePath?: string;
  /** Found by itself when left out; null for none. */
  readonly limits?: Limits | null;
}

/**
 * Sandboxes without an engine: namespaces and a system-call filter by bubblewrap, limits by control groups where the host
 * lets us. Weaker than an engine's container: there is no image, so the host's own programs are seen (read-only) inside.
 */
export function createBubblewrapDriver(options: BubblewrapOptions): RuntimeDriver {
  const closing = new AbortController();
  const clock = systemClock;
  const state = createStateDirectory(path.resolve(options.stateDirectory, thisHost()), clock);
  const limits = options.limits === undefined ? findLimits() : (options.limits ?? undefined);
  const system = { isRoot: process.getuid?.() === 0, nodePath: options.nodePath ?? process.execPath, programs: options.programs ?? {} };
  const bubblewrap: BubblewrapContext = { state, system, limits, clock, log: options.log, spawn: createSpawn(), closing: closing.signal };
  writeFileSync(state.seccompFile, seccompFilter() ?? '', { mode: 0o600 });
  const cleanUps = createCleanUps(options.log);
  const sleep = sleepPower(bubblewrap);
  const checked =
    <T>(run: () => Promise<T>) =>
    (signal: AbortSignal | undefined): Promise<T> =>
      signal?.aborted ? Promise.reject(signal.reason) : run();

  const create = (spec: SandboxSpec, call?: CallOptions) => createSandbox(bubblewrap, cleanUps, { spec, ...call });
  const start = (ref: SandboxRef, call?: StartOptions) => startCleanly(bubblewrap, cleanUps, { ref, ...call });
  const remove = (ref: SandboxRef, call?: CallOptions) => checked(() => removeSandbox(bubblewrap, ref.handle))(call?.signal);
  return {
    name: 'bubblewrap',
    capabilities: { isIsolated: true, isolationClass: 'weaker', supportsLimits: limits !== undefined, usesImages: false },
    probe: createProbe(bubblewrap, { create, start, remove }),
    hasImage: async () => true,
    create,
    start,
    stop: (ref, stop) => checked(() => stopSandbox(bubblewrap, ref.handle, stop))(stop.signal),
    remove,
    inspect: (ref, call) => checked(() => observe(bubblewrap, ref.handle))(call?.signal),
    list: ({ installation }, call) => checked(() => listSandboxes(bubblewrap, installation, call?.signal))(call?.signal),
    exec: (ref, command, call) => checked(() => execInSandbox(bubblewrap, ref, command))(call?.signal),
    logs: (ref, logs) => checked(() => readLogFile(state.paths(ref.handle).log, logs?.tailLines))(logs?.signal),
    watch: ({ installation }, onExit, { signal }) => watchSandboxes(bubblewrap, installation, { onExit, signal }),
    ...(sleep === undefined ? {} : { sleep }),
    async close() {
      await cleanUps.settled();
      closing.abort();
    },
  };
}

/** Servers on several hosts may share a tree of files; processes are of one host. */
export function thisHost(): string {
  return hostname().replace(/[^\w.-]/g, '_') || 'host';
}

interface CleanUps {
  add(work: Promise<void>): void;
  settled(): Promise<void>;
}

/** Clean-ups that go on after their caller has been let go. What one cannot remove, the reconciler finds by its labels. */
function createCleanUps(log: Logger): CleanUps {
  const pending = new Set<Promise<void>>();
  return {
    add(work) {
      const done = work
        .catch((error: unknown) => log.warn({ err: error }, 'an aborted sandbox could not be removed at once'))
        .finally(() => pending.delete(done));
      pending.add(done);
    },
    settled: async () => void (await Promise.all(pending)),
  };
}

type Call<T> = T & CallOptions;

async function createSandbox(
  bubblewrap: BubblewrapContext,
  cleanUps: CleanUps,
  { spec, signal }: Call<{ readonly spec: SandboxSpec }>,
): Promise<SandboxRef> {
  signal?.throwIfAborted();
  invariant(spec.uid > 0 && spec.gid > 0, 'a sandbox never runs as root');
  invariant(spec.argv.length > 0, 'a sandbox runs a program');
  const ref = sandboxRef(spec.labels);
  const making = makeSandbox(bubblewrap, spec);
  try {
    await untilAborted(making, signal);
    return ref;
  } catch (error) {
    if (signal?.aborted) cleanUps.add(making.then((isNew) => (isNew ? removeSandbox(bubblewrap, ref.handle) : undefined)));
    throw error;
  }
}

/** Answers whether it is new. */
async function makeSandbox(bubblewrap: BubblewrapContext, spec: SandboxSpec): Promise<boolean> {
  if (spec.runtimeClass !== undefined)
    throw new PlatformError('sandbox_start_failed', {
      detail: `Bubblewrap has no OCI runtime "${spec.runtimeClass}". Leave it out of the environment, or use Docker.`,
    });
  await requireMounts(spec);
  await requirePrograms(bubblewrap, spec);
  const handle = sandboxHandle(spec.labels);
  if (await bubblewrap.state.add(handle, spec)) return true;
  const existing = await bubblewrap.state.spec(handle);
  // Removed between the two looks.
  if (existing === undefined) return makeSandbox(bubblewrap, spec);
  if (isSameSpec(existing, spec)) return false;
  throw new PlatformError('sandbox_conflict', {
    detail: `The incarnation ${spec.labels.incarnation} already exists with another specification.`,
  });
}

/** A failed start leaves nothing; only an abort, which promises to be quick, does not wait for that. */
async function startCleanly(
  bubblewrap: BubblewrapContext,
  cleanUps: CleanUps,
  { ref, signal, onAttached }: StartOptions & { readonly ref: SandboxRef },
): Promise<SandboxIo> {
  signal?.throwIfAborted();
  const spec = await claimStart(bubblewrap, ref);
  const starting = startSandbox(bubblewrap, { ref, spec, onAttached });
  try {
    return await untilAborted(starting, signal);
  } catch (error) {
    const removing = starting
      .then(
        () => undefined,
        () => undefined,
      )
      .then(() => removeSandbox(bubblewrap, ref.handle));
    if (!signal?.aborted) await removing;
    else cleanUps.add(removing);
    throw error;
  }
}

/** Follows the promise until the signal is aborted; the promise itself goes on. */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
