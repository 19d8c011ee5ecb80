import { type Clock, delay } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { SealedRow, SealedStore, SealedTable } from '../store/store.ts';
import type { SwitchableSealer } from './envelope.ts';
import { rewrapped, sealedRows } from './sealing.ts';

/** Rounds over all that is sealed, after which it is sealed with the current key. */
export interface Resealer {
  /** A round begins now, or right after the one that is under way. */
  begin(): void;
  /** Waits for the round that is under way, if one is. */
  settled(): Promise<void>;
  /** Breaks the round off; the next one does what is left. */
  stop(): Promise<void>;
}

export interface ResealerDeps {
  readonly store: SealedStore;
  readonly sealer: SwitchableSealer;
  readonly clock: Clock;
  readonly log: Logger;
  /** What is to be done with a text besides: a secret from before there was sealing is sealed. */
  readonly upgrade: (table: SealedTable, row: SealedRow) => string;
}

/** Between two records that are sealed anew, so that requests have the database in between. */
const PAUSE_MS = 2;

export function createResealer(deps: ResealerDeps): Resealer {
  const { sealer, log } = deps;
  let stopping = new AbortController();
  let round: Promise<void> | undefined;
  let isWanted = false;

  async function run(): Promise<void> {
    const { signal } = stopping;
    while (isWanted && !signal.aborted) {
      isWanted = false;
      try {
        const changed = await reseal(deps, signal);
        if (changed > 0) log.info({ key: sealer.currentKeyId, records: changed }, 'secrets were sealed with the current key');
      } catch (error) {
        log.warn({ err: error }, 'sealing secrets anew broke off; the next start goes on with it');
      }
    }
  }

  return {
    begin() {
      if (stopping.signal.aborted && round === undefined) stopping = new AbortController();
      isWanted = true;
      round ??= run().finally(() => {
        round = undefined;
      });
    },
    async settled() {
      await round;
    },
    async stop() {
      stopping.abort();
      await round;
    },
  };
}

/** Each write holds only if nobody changed the row since: several servers may do this at once, and a person meanwhile. */
async function reseal(deps: ResealerDeps, signal: AbortSignal): Promise<number> {
  const { store, clock } = deps;
  let changed = 0;
  for await (const { table, row } of sealedRows(store)) {
    if (signal.aborted) return changed;
    const to = renewed(deps, table, row);
    if (to === undefined || to === row.text) continue;
    const { tenantId, id } = row;
    if (await store.replace({ table, tenantId, id, from: row.text, to })) changed++;
    // Rejects only when it is broken off, which is looked at next.
    await delay(clock, PAUSE_MS, signal).catch(() => undefined);
  }
  return changed;
}

/** One that cannot be opened stays as it is: its owner is told when it is used, and the others go on. */
function renewed({ upgrade, sealer, log }: ResealerDeps, table: SealedTable, row: SealedRow): string | undefined {
  try {
    return rewrapped(upgrade(table, row), sealer);
  } catch (error) {
    if (!isPlatformError(error)) throw error;
    log.warn({ err: error, table, tenant: row.tenantId, record: row.id }, 'a secret could not be sealed anew');
    return undefined;
  }
}
