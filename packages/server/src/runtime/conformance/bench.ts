import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { delay, systemClock } from '../../base/clock.ts';
import { newId } from '../../base/ids.ts';
import type { ExitReport, RuntimeDriver, SandboxIo, SandboxObservation, SandboxRef, SandboxSpec } from '../driver.ts';
import type { SkipList } from './known-skips.ts';
import type { Scenario } from './scenarios.ts';

export interface ConformanceOptions {
  readonly name: string;
  /** The laws that the driver is known not to keep; those listed under its name when left out. */
  readonly skips?: SkipList;
  /** Each call makes another driver on the same engine, as another process would. */
  readonly createDriver: () => RuntimeDriver;
  readonly command: (scenario: Scenario) => readonly string[];
  /** An image that is there, for drivers that use images. */
  readonly image?: string;
  /** Which laws are tried; all when left out. For a driver whose laws are all tried elsewhere, on another way to its engine. */
  readonly only?: (title: string) => boolean;
  /** Limit for each law; a minute when left out. */
  readonly lawTimeoutMs?: number;
}

export interface Finished {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly exit: ExitReport;
}

/** What a law works with: a driver, an installation of its own, and short words for the common steps. */
export interface Bench {
  readonly driver: RuntimeDriver;
  readonly installation: string;
  /** Another driver on the same engine: another process, or the same after a restart. */
  readonly another: () => RuntimeDriver;
  readonly spec: (what: Scenario | { readonly argv: readonly string[] }, changes?: Partial<SandboxSpec>) => SandboxSpec;
  readonly command: (scenario: Scenario) => readonly string[];
  readonly launch: (spec: SandboxSpec) => Promise<{ readonly ref: SandboxRef; readonly io: SandboxIo }>;
  /** Creates, starts, feeds, and reads to the end. */
  readonly run: (spec: SandboxSpec, input?: string | Buffer) => Promise<Finished>;
  readonly list: () => Promise<readonly SandboxObservation[]>;
  /** A new directory that any user may write to. */
  readonly directory: () => string;
  readonly cleanUp: () => Promise<void>;
  readonly close: () => Promise<void>;
}

const MIB = 1024 * 1024;

export function createBench(options: ConformanceOptions): Bench {
  const installation = `conformance-${newId('installation')}`;
  const drivers: RuntimeDriver[] = [];
  const another = () => {
    const made = options.createDriver();
    drivers.push(made);
    return made;
  };
  const driver = another();
  const home = mkdtempSync(path.join(tmpdir(), 'cloister-conformance-'));
  chmodSync(home, 0o755);

  const bench: Bench = {
    driver,
    installation,
    another,
    command: options.command,
    spec: (what, changes) => ({
      labels: sandboxLabels(installation),
      image: options.image ?? 'none',
      argv: 'argv' in what ? what.argv : options.command(what),
      env: {},
      cwd: '/',
      uid: 1000,
      gid: 1000,
      memoryBytes: 256 * MIB,
      cpus: 1,
      pids: 64,
      mounts: [],
      tmpBytes: 16 * MIB,
      ...changes,
    }),
    async launch(spec) {
      const ref = await driver.create(spec);
      return { ref, io: await driver.start(ref) };
    },
    async run(spec, input = '') {
      const { io } = await bench.launch(spec);
      io.stdin.end(input);
      const [stdout, stderr, exit] = await Promise.all([collect(io.stdout), collect(io.stderr), io.exited]);
      return { stdout, stderr, exit };
    },
    list: () => driver.list({ installation }),
    directory() {
      const made = path.join(home, newId('session'));
      mkdirSync(made);
      chmodSync(made, 0o777);
      return made;
    },
    async cleanUp() {
      for (const { ref } of await bench.list()) await driver.remove(ref);
    },
    async close() {
      for (const made of drivers) await made.close();
      rmSync(home, { recursive: true, force: true });
    },
  };
  return bench;
}

export function sandboxLabels(installation: string): SandboxSpec['labels'] {
  return {
    installation,
    tenant: 'default',
    agent: 'agt_1',
    session: 'ses_1',
    sandbox: newId('sandbox'),
    node: newId('node'),
    incarnation: newId('incarnation'),
  };
}

export async function collect(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Waits until the condition holds, looking often; fails with what it saw last. */
export async function waitFor<T>(look: () => Promise<T> | T, holds: (value: T) => boolean, timeoutMs = 10_000): Promise<T> {
  const end = systemClock.monotonic() + timeoutMs;
  for (;;) {
    const value = await look();
    if (holds(value)) return value;
    assert.ok(systemClock.monotonic() < end, `not within ${timeoutMs} ms; last seen: ${JSON.stringify(value)}`);
    await delay(systemClock, 10);
  }
}

/** Reads until the text has come. The stream is left open. */
export function waitForText(stream: Readable, text: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let seen = '';
  stream.on('data', (chunk: Buffer) => {
    seen += chunk.toString();
    if (seen.includes(text)) resolve();
  });
  stream.once('end', () => reject(new Error(`ended before "${text}"; saw "${seen}"`)));
  return promise;
}

export type Law = (title: string, run: (bench: Bench) => Promise<void>) => void;
