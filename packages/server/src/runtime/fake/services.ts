import { PlatformError } from '../../base/errors.ts';
import type { ExitReport } from '../driver.ts';
import type { ContainerStats, LogLine, ServiceObservation, ServiceRef, ServiceRuntime, ServiceSpec } from '../services.ts';

/** Services that are only written down: for tests of what looks after them. Nothing listens at their ports. */
export interface FakeServices extends ServiceRuntime {
  /** Every container that there is, with what it was made from. */
  containers(): readonly FakeContainer[];
  /** What happens without anybody's asking. */
  crash(service: string, exit: ExitReport): void;
  vanish(service: string): void;
  /** Its port leads nowhere any more. */
  cutOff(service: string): void;
  /** The next call of this name fails so. */
  failNext(call: 'create' | 'start', error: Error): void;
}

export interface FakeContainer {
  readonly ref: ServiceRef;
  readonly spec: ServiceSpec;
  state: ServiceObservation['state'];
  exit: ExitReport | null;
  isCutOff: boolean;
}

const MISSING_IMAGE = 'missing';

export function createFakeServices(): FakeServices {
  const containers = new Map<string, FakeContainer>();
  const networks = new Map<string, string>();
  const listeners = new Set<() => void>();
  const failures = new Map<string, Error>();
  const announce = () => {
    for (const listener of listeners) listener();
  };
  const failIfAsked = (call: string) => {
    const error = failures.get(call);
    failures.delete(call);
    if (error !== undefined) throw error;
  };
  const of = (service: string) => [...containers.values()].filter(({ ref }) => ref.service === service);
  return {
    ...lifecycle({ containers, networks, announce, failIfAsked }),
    ...streams(containers),
    watch(_owner, onChange, { signal }) {
      const { promise, resolve } = Promise.withResolvers<void>();
      if (signal.aborted) return Promise.resolve();
      listeners.add(onChange);
      signal.addEventListener('abort', () => resolve(void listeners.delete(onChange)), { once: true });
      return promise;
    },
    containers: () => [...containers.values()],
    crash(service, exit) {
      for (const container of of(service)) {
        container.state = 'exited';
        container.exit = exit;
      }
      announce();
    },
    vanish(service) {
      for (const { ref } of of(service)) containers.delete(ref.handle);
      announce();
    },
    cutOff(service) {
      for (const container of of(service)) container.isCutOff = true;
      announce();
    },
    failNext: (call, error) => void failures.set(call, error),
  };
}

interface State {
  readonly containers: Map<string, FakeContainer>;
  /** Of each service that has one, its installation. */
  readonly networks: Map<string, string>;
  readonly announce: () => void;
  readonly failIfAsked: (call: string) => void;
}

function lifecycle({ containers, networks, announce, failIfAsked }: State): Omit<ServiceRuntime, 'watch' | 'logs' | 'stats'> {
  return {
    hostId: async () => 'fake',
    hasImage: async (image) => image !== MISSING_IMAGE,
    async create(spec) {
      failIfAsked('create');
      const { service, incarnation, installation } = spec.labels;
      networks.set(service, installation);
      if (spec.image === MISSING_IMAGE) throw new PlatformError('image_missing', { detail: `There is no image "${spec.image}".` });
      const handle = `fake-${incarnation}`;
      const existing = containers.get(handle);
      if (existing !== undefined) return existing.ref;
      const ref = { service, incarnation, handle };
      containers.set(handle, { ref, spec, state: 'created', exit: null, isCutOff: false });
      return ref;
    },
    async start(ref) {
      failIfAsked('start');
      const container = containers.get(ref.handle);
      if (container === undefined) throw new PlatformError('sandbox_start_failed');
      const { host } = container.spec.port;
      const isTaken = [...containers.values()].some((one) => one !== container && one.state === 'running' && one.spec.port.host === host);
      if (isTaken) throw new PlatformError('service_port_taken');
      container.state = 'running';
    },
    async stop(ref) {
      const container = containers.get(ref.handle);
      if (container?.state !== 'running' && container?.state !== 'paused') return;
      container.state = 'exited';
      container.exit = { exitCode: null, signal: 'SIGTERM', isOutOfMemory: false };
      announce();
    },
    async remove(ref) {
      if (containers.delete(ref.handle)) announce();
    },
    async forget({ service }) {
      networks.delete(service);
    },
    async list({ installation }) {
      return [...containers.values()]
        .filter(({ spec }) => spec.labels.installation === installation)
        .map(({ ref, state, exit, isCutOff }) => ({ ref, state, exit, isCutOff }));
    },
    remnants: async ({ installation }) => [...networks].flatMap(([service, owner]) => (owner === installation ? [service] : [])),
  };
}

function streams(containers: ReadonlyMap<string, FakeContainer>): Pick<ServiceRuntime, 'logs' | 'stats'> {
  return {
    async *logs(ref): AsyncGenerator<LogLine> {
      if (!containers.has(ref.handle)) throw new PlatformError('service_not_running');
      yield { stream: 'stdout', at: '2026-01-01T00:00:00Z', text: `fake ${ref.service}` };
    },
    async *stats(ref): AsyncGenerator<ContainerStats> {
      const container = containers.get(ref.handle);
      if (container === undefined) throw new PlatformError('service_not_running');
      const memoryLimitBytes = container.spec.memoryBytes;
      yield { at: '2026-01-01T00:00:00Z', cpuPercent: 1, memoryBytes: 1, memoryLimitBytes, pids: 1, receivedBytes: 0, sentBytes: 0 };
    },
  };
}
