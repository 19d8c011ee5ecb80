/** Why a new session did not get a sandbox from the pool. */
export const MISS_REASONS = ['none', 'not_ready', 'refused', 'files', 'failed'] as const;
export type MissReason = (typeof MISS_REASONS)[number];

export interface WarmTally {
  readonly hits: number;
  readonly misses: Readonly<Record<MissReason, number>>;
  /** Those that ended before a session had them, and starts that failed. */
  readonly lost: number;
}

export interface Tally {
  hit(): void;
  miss(reason: MissReason): void;
  lost(): void;
  read(): WarmTally;
}

export function createTally(): Tally {
  const misses: Record<MissReason, number> = { none: 0, not_ready: 0, refused: 0, files: 0, failed: 0 };
  let hits = 0;
  let lost = 0;
  return {
    hit: () => void hits++,
    miss: (reason) => void misses[reason]++,
    lost: () => void lost++,
    read: () => ({ hits, misses: { ...misses }, lost }),
  };
}
