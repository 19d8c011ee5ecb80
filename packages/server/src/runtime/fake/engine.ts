import type { Clock } from '../../base/clock.ts';
import type { ExitReport, SandboxLabels, SandboxObservation, SandboxRef, SandboxSpec } from '../driver.ts';
import type { FakeProcess } from './process.ts';

/** The host of fake sandboxes: what outlives a driver, as a real engine outlives the server. */
export interface FakeEngine {
  readonly clock: Clock;
  add(spec: SandboxSpec): FakeSandbox;
  find(handle: string): FakeSandbox | undefined;
  findIncarnation(labels: SandboxLabels): FakeSandbox | undefined;
  all(): FakeSandbox[];
  remove(sandbox: FakeSandbox): void;
  announce(sandbox: FakeSandbox, report: ExitReport): void;
  /** Resolves when the signal is aborted. */
  watch(listener: ExitListener, signal: AbortSignal): Promise<void>;
}

export type ExitListener = (sandbox: FakeSandbox, report: ExitReport) => void;

export interface FakeSandbox {
  readonly ref: SandboxRef;
  readonly spec: SandboxSpec;
  readonly createdAt: number;
  readonly log: LogTail;
  readonly execs: Set<FakeProcess>;
  state: SandboxObservation['state'];
  exit: ExitReport | null;
  main: FakeProcess | undefined;
}

export function createFakeEngine(clock: Clock): FakeEngine {
  const sandboxes = new Map<string, FakeSandbox>();
  const listeners = new Set<ExitListener>();
  return {
    clock,
    add(spec) {
      const { sandbox, incarnation } = spec.labels;
      const handle = handleOf(spec.labels);
      const made: FakeSandbox = {
        ref: { sandbox, incarnation, handle },
        spec,
        createdAt: clock.now(),
        log: createLogTail(),
        execs: new Set(),
        state: 'created',
        exit: null,
        main: undefined,
      };
      sandboxes.set(handle, made);
      return made;
    },
    find: (handle) => sandboxes.get(handle),
    findIncarnation: (labels) => sandboxes.get(handleOf(labels)),
    all: () => [...sandboxes.values()],
    remove: (sandbox) => void sandboxes.delete(sandbox.ref.handle),
    announce(sandbox, report) {
      for (const listener of listeners) listener(sandbox, report);
    },
    async watch(listener, signal) {
      if (signal.aborted) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      signal.addEventListener('abort', () => resolve(), { once: true });
      listeners.add(listener);
      await promise;
      listeners.delete(listener);
    },
  };
}

function handleOf({ installation, incarnation }: SandboxLabels): string {
  return `${installation}/${incarnation}`;
}

interface LogTail {
  add(chunk: Buffer): void;
  text(): string;
}

const MAX_LOG_BYTES = 64 * 1024;

function createLogTail(): LogTail {
  let chunks: Buffer[] = [];
  let bytes = 0;
  return {
    add(chunk) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes <= 2 * MAX_LOG_BYTES) return;
      chunks = [Buffer.concat(chunks).subarray(-MAX_LOG_BYTES)];
      bytes = MAX_LOG_BYTES;
    },
    text: () => Buffer.concat(chunks).subarray(-MAX_LOG_BYTES).toString('utf8'),
  };
}
