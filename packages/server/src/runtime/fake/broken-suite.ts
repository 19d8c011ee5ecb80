/**
 * The positive control of the conformance suite: run with the name of a defect, it gives the suite a fake
 * driver that has it, and the suite must fail. Run as a program of its own by `broken.test.ts`.
 */
import { Readable } from 'node:stream';
import { systemClock } from '../../base/clock.ts';
import { KNOWN_SKIPS, runtimeConformance, type SkipList } from '../conformance.ts';
import type { ExitReport, RuntimeDriver, SandboxIo } from '../driver.ts';
import { conformancePrograms, fakeCommand } from './conformance-programs.ts';
import { createFakeDriver } from './driver.ts';
import { createFakeEngine } from './engine.ts';

const ENDED_WELL: ExitReport = { exitCode: 0, signal: null, isOutOfMemory: false };

type Defect = (driver: RuntimeDriver) => Partial<RuntimeDriver>;

export const DEFECTS: Readonly<Record<string, Defect>> = {
  none: () => ({}),
  'leaks a sandbox': () => ({ remove: async () => undefined }),
  'lies about the exit code': (driver) =>
    withIo(driver, (io) => ({ ...io, exited: io.exited.then((report) => ({ ...report, exitCode: report.exitCode === null ? null : 0 })) })),
  'ignores limits': (driver) =>
    withIo(driver, (io) => ({ ...io, exited: io.exited.then((report) => (report.isOutOfMemory ? ENDED_WELL : report)) })),
  'loses the last bytes': (driver) => withIo(driver, (io) => ({ ...io, stdout: withoutLastByte(io.stdout) })),
  'ignores the labels': (driver) => ({
    create: (spec, call) => driver.create({ ...spec, labels: { ...spec.labels, installation: 'everybody' } }, call),
    list: (_owner, call) => driver.list({ installation: 'everybody' }, call),
  }),
  'ignores aborts': (driver) => ({ create: (spec) => driver.create(spec), start: (ref) => driver.start(ref) }),
  'has an excuse it needs not': () => ({}),
  'has not listed what it leaves out': () => ({}),
  'pauses nothing': ({ sleep }) => ({ sleep: sleep && { ...sleep, pause: async () => undefined } }),
  'starts twice': (driver) => {
    const seen = new Map<string, SandboxIo>();
    return {
      async start(ref, call) {
        const io = seen.get(ref.handle) ?? (await driver.start(ref, call));
        seen.set(ref.handle, io);
        return io;
      },
    };
  },
};

/** Defects of the list of skips, for a driver that is sound. */
const SKIPS: Readonly<Record<string, SkipList>> = {
  'has an excuse it needs not': { ...KNOWN_SKIPS.fake, 'root is refused': { reason: 'said to be broken' } },
  'has not listed what it leaves out': {},
};

function withIo(driver: RuntimeDriver, change: (io: SandboxIo) => SandboxIo): Partial<RuntimeDriver> {
  return { start: async (ref, call) => change(await driver.start(ref, call)) };
}

function withoutLastByte(stream: Readable): Readable {
  return Readable.from(
    (async function* () {
      let held = Buffer.alloc(0);
      for await (const chunk of stream) {
        const bytes = Buffer.concat([held, chunk]);
        held = bytes.subarray(-1);
        if (bytes.length > 1) yield bytes.subarray(0, -1);
      }
    })(),
  );
}

const [wanted] = process.argv.slice(2);
const defect = wanted === undefined ? undefined : DEFECTS[wanted];
if (defect !== undefined) {
  const engine = createFakeEngine(systemClock);
  runtimeConformance({
    name: `fake that ${wanted}`,
    skips: SKIPS[wanted ?? ''] ?? KNOWN_SKIPS.fake ?? {},
    createDriver: () => {
      const driver = createFakeDriver({ engine, programs: conformancePrograms });
      return { ...driver, ...defect(driver) };
    },
    command: fakeCommand,
    lawTimeoutMs: 3000,
  });
}
