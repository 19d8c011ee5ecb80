import { STAGES } from '@cloister/api';
import type { Stage, StageLog } from '../sandboxes/stages.ts';

export type StageSummary = Partial<Record<Stage, { readonly count: number; readonly p50_ms: number }>>;

/** So many of each stage are remembered: the medians follow what has changed within a busy hour. */
const KEPT = 256;

/** The medians of what each stage took lately, of those that were gone through at all. */
export function createStageSummary(log: StageLog): () => StageSummary {
  const kept = new Map<Stage, number[]>();
  log.listen((stage, ms) => {
    const times = kept.get(stage) ?? [];
    kept.set(stage, times);
    times.push(ms);
    if (times.length > KEPT) times.shift();
  });
  return () =>
    Object.fromEntries(
      STAGES.flatMap((stage) => {
        const times = kept.get(stage);
        return times === undefined ? [] : [[stage, { count: times.length, p50_ms: median(times) }]];
      }),
    );
}

function median(times: readonly number[]): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
}
