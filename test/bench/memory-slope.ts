import { setTimeout as sleep } from 'node:timers/promises';
import { closedLoop } from './load.ts';
import { startPlatform } from './platform.ts';
import { proveNothingLost } from './proof.ts';
import { type Bench, type BenchOptions, type Row, verdict } from './row.ts';
import { wholeTurn } from './turns.ts';

const NAME = 'memory-slope';
const LONG_MINUTES = 10;
const SESSIONS = 20;
const PERIOD_MS = 1000;
const PER_SECOND = (SESSIONS * 1000) / PERIOD_MS;
const SAMPLE_MS = 1000;
const WARM_UP_SHARE = 0.3;
const BLOCKS = 12;
const MUST_MB_PER_HOUR = 1;

/** RSS under a steady load. What a collection of garbage moves is larger than a leak in a minute, so a short run judges nothing. */
export const memorySlopeBench: Bench = {
  name: NAME,
  needsEngine: false,
  async run({ minutes = 1 }) {
    await using platform = await startPlatform({ MAX_CONCURRENT_SANDBOXES: String(SESSIONS) });
    const sessions = await Promise.all(Array.from({ length: SESSIONS }, () => platform.newSession()));
    const durationMs = minutes * 60_000;
    const samples: Sample[] = [];
    const over = new AbortController();
    const sampling = (async () => {
      const began = performance.now();
      while (!over.signal.aborted) {
        samples.push({ hours: (performance.now() - began) / 3_600_000, mb: await platform.residentMb() });
        await sleep(SAMPLE_MS);
      }
    })();
    try {
      // A slow machine has fewer turns to do, and never a queue that grows.
      await closedLoop(sessions, durationMs, (session) => Promise.all([wholeTurn(platform, session), sleep(PERIOD_MS)]));
    } finally {
      over.abort();
      await sampling;
    }
    return [slopeRow(samples, { minutes }), await proveNothingLost('memory', [platform])];
  },
};

interface Sample {
  readonly hours: number;
  readonly mb: number;
}

function slopeRow(samples: readonly Sample[], { minutes = 1 }: BenchOptions): Row {
  const warm = samples.slice(Math.floor(samples.length * WARM_UP_SHARE));
  const floors = lowestOfBlocks(warm);
  const { slope, error } = fit(floors);
  const isLong = minutes >= LONG_MINUTES;
  const [first, last] = [floors[0]?.mb ?? Number.NaN, floors.at(-1)?.mb ?? Number.NaN];
  const hint = isLong ? '' : `; too short to judge: -- --only ${NAME} takes ${LONG_MINUTES} minutes`;
  return {
    measure: `RSS over ${minutes} min of ${PER_SECOND} turns/s, after warm-up`,
    result: `${slope.toFixed(1)} ± ${(2 * error).toFixed(1)} MB/h (${first.toFixed(0)} → ${last.toFixed(0)} MB)${hint}`,
    must: `≤ ${MUST_MB_PER_HOUR} MB/h within the error`,
    goal: '',
    verdict: isLong ? verdict(slope - 2 * error <= MUST_MB_PER_HOUR, false) : 'info',
    values: { slope, error, first, last, minutes },
  };
}

/** The least of each stretch of time: what is held when the garbage is gone. */
function lowestOfBlocks(samples: readonly Sample[]): Sample[] {
  const size = Math.max(1, Math.floor(samples.length / BLOCKS));
  const blocks = Array.from({ length: Math.floor(samples.length / size) }, (_, n) => samples.slice(n * size, (n + 1) * size));
  return blocks.flatMap((block) => block.toSorted((a, b) => a.mb - b.mb).slice(0, 1));
}

/** The straight line with the least squares: its slope, and the standard error of that. */
function fit(points: readonly Sample[]): { readonly slope: number; readonly error: number } {
  const n = points.length;
  const mean = (of: (point: Sample) => number): number => points.reduce((sum, point) => sum + of(point), 0) / n;
  const [x, y] = [mean(({ hours }) => hours), mean(({ mb }) => mb)];
  const spread = points.reduce((sum, { hours }) => sum + (hours - x) ** 2, 0);
  const slope = points.reduce((sum, { hours, mb }) => sum + (hours - x) * (mb - y), 0) / spread;
  const rest = points.reduce((sum, { hours, mb }) => sum + (mb - y - slope * (hours - x)) ** 2, 0);
  return { slope, error: Math.sqrt(rest / (n - 2) / spread) };
}
