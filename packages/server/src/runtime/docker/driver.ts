import type { Clock } from '../../base/clock.ts';
import { systemClock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { CallOptions, RuntimeDriver, SandboxIo, SandboxRef, SandboxSpec, StartOptions } from '../driver.ts';
import type { DockerContext } from './context.ts';
import { untilAborted } from './deadline.ts';
import type { EndpointOptions } from './endpoint.ts';
import { createEngine } from './engine.ts';
import { execInContainer } from './exec.ts';
import { createNetworkHolders, type NetworkHolders, NO_HOLDERS } from './holders.ts';
import type { HolderSettings } from './holders-state.ts';
import { createHostPaths } from './host-paths.ts';
import { imageDetails } from './image.ts';
import { listContainers, observe } from './inspect.ts';
import { createContainer, removeContainer, stopContainer } from './lifecycle.ts';
import { readLogs } from './logs.ts';
import { listRuntimeClasses, probeEngine } from './probe.ts';
import { containerName } from './profile.ts';
import { createSeccompFile } from './seccomp.ts';
import { createDockerServices } from './services.ts';
import { sleepPower } from './sleep.ts';
import { isSecondStart, startContainer } from './start.ts';
import { watchContainers } from './watch.ts';

export interface DockerDriverOptions extends EndpointOptions {
  readonly log: Logger;
  readonly clock?: Clock;
  /** Where this server's files lie, of which sandboxes mount some; left out, no path is ever taken for another. */
  readonly dataDir?: string | undefined;
  /** The same directory by the path of the engine's host, for a server in a container; left out, it is found out. */
  readonly hostDataDir?: string | undefined;
  /** Network namespaces kept ready, each for one sandbox; none when left out. */
  readonly networkHolders?: HolderSettings | undefined;
  /** An image with node, of which the relays are that bring services their ports; services that need one fail without. */
  readonly relayImage?: string | undefined;
  /** Limit for each call to the engine; 30 s when left out. */
  readonly deadlineMs?: number;
}

export interface DockerDriver extends RuntimeDriver {
  readonly holders: Pick<NetworkHolders, 'ready'>;
}

/**
 * Sandboxes as hardened containers of Docker or Podman, over their common API; `quirks.ts` tells the two apart. Mounts
 * are bind mounts, so the engine must run on the server's own host. See `profile.ts` for what a sandbox may do.
 */
export function createDockerDriver(options: DockerDriverOptions): DockerDriver {
  const clock = options.clock ?? systemClock;
  const closing = new AbortController();
  const engine = createEngine({ ...options, clock });
  const seccomp = createSeccompFile(options.dataDir);
  const hostPaths = createHostPaths({ ...options, engine });
  const docker: DockerContext = { engine, seccomp, hostPaths, clock, log: options.log, closing: closing.signal };
  const cleanUps = createCleanUps(docker);
  const services = createDockerServices(docker, options.relayImage);
  const holders = createNetworkHolders(docker, options.networkHolders ?? NO_HOLDERS);
  const parts: Parts = { docker, cleanUps, holders };

  return {
    get name() {
      return engine.kind();
    },
    capabilities: { isIsolated: true, isolationClass: 'container', supportsLimits: true, usesImages: true },
    sleep: sleepPower(docker),
    probe: (call) => probeEngine(docker, call?.signal),
    runtimeClasses: (call) => listRuntimeClasses(docker, call?.signal),
    hasImage: async (image, call) => (await imageDetails(engine, image, call?.signal)) !== undefined,
    create: (spec, call) => create(parts, { spec, ...call }),
    start: (ref, call) => start(parts, { ref, ...call }),
    stop: (ref, stop) => stopContainer(docker, ref.handle, stop),
    remove: (ref, call) => remove(parts, ref, call?.signal),
    inspect: (ref, call) => observe(docker, ref.handle, call?.signal),
    list: ({ installation }, call) =>
      listContainers(docker, { installation, signal: call?.signal, onListed: (items) => holders.tidy(installation, items) }),
    exec: (ref, command, call) => execInContainer(docker, ref, { command, signal: call?.signal }),
    logs: (ref, logs) => readLogs(docker, ref.handle, logs ?? {}),
    watch: (owner, onExit, watch) => watchContainers(docker, owner.installation, { ...watch, onExit }),
    services,
    holders,
    async close() {
      await cleanUps.settled();
      await holders.close();
      closing.abort();
      engine.close();
      await seccomp.close();
    },
  };
}

interface Parts {
  readonly docker: DockerContext;
  readonly cleanUps: CleanUps;
  readonly holders: NetworkHolders;
}

interface CleanUps {
  add(name: string, work: Promise<void>): void;
  /** Resolves when no clean-up of this name is under way. */
  of(name: string): Promise<void>;
  settled(): Promise<void>;
}

/** Clean-ups that go on after their caller has been let go. What one cannot remove, the reconciler finds by its labels. */
function createCleanUps(docker: DockerContext): CleanUps {
  const pending = new Map<string, Promise<void>>();
  return {
    add(name, work) {
      const done = work
        .catch((error: unknown) => docker.log.warn({ err: error, container: name }, 'an aborted sandbox could not be removed at once'))
        .finally(() => pending.get(name) === done && pending.delete(name));
      pending.set(name, done);
    },
    of: async (name) => pending.get(name),
    settled: async () => void (await Promise.all(pending.values())),
  };
}

/**
 * The call to the engine is never cut: the engine might make the container after we stopped looking. An
 * abort lets the caller go at once, and what the call then made is removed.
 */
async function create(parts: Parts, call: { readonly spec: SandboxSpec } & CallOptions): Promise<SandboxRef> {
  const { docker, cleanUps, holders } = parts;
  const { spec, signal } = call;
  signal?.throwIfAborted();
  const name = containerName(spec.labels);
  await untilAborted(cleanUps.of(name), signal);
  const making = createContainer(docker, spec, holders);
  try {
    return (await untilAborted(making, signal)).ref;
  } catch (error) {
    if (signal?.aborted)
      cleanUps.add(
        name,
        making.then(({ ref, isNew }) => (isNew ? remove(parts, ref) : undefined)),
      );
    throw error;
  }
}

async function start(parts: Parts, call: { readonly ref: SandboxRef } & StartOptions): Promise<SandboxIo> {
  const { docker, cleanUps, holders } = parts;
  const { ref, signal } = call;
  signal?.throwIfAborted();
  try {
    const io = await startContainer(docker, ref, { ...call, withoutHolder: holders.withoutHolder });
    holders.release(ref.handle);
    return io;
  } catch (error) {
    if (isSecondStart(error)) throw error;
    const removing = remove(parts, ref);
    cleanUps.add(ref.handle, removing);
    // A failed start leaves nothing; only an abort, which promises to be quick, does not wait for that.
    if (!signal?.aborted) await cleanUps.of(ref.handle);
    throw error;
  }
}

async function remove({ docker, holders }: Parts, { handle }: SandboxRef, signal?: AbortSignal): Promise<void> {
  await removeContainer(docker, handle, signal);
  holders.release(handle);
}
