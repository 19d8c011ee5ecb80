import { type Clock, delay } from '../base/clock.ts';
import { isPlatformError, PlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Service } from '../base/service.ts';
import type { SealedRow, SealedStore, SealedTable } from '../store/store.ts';
import { keyIdsIn, rewrapped, type Sealing, sealedRows } from './sealing.ts';

export interface EncryptionKey {
  readonly id: string;
  readonly isCurrent: boolean;
  /** Whether this server has it. */
  readonly isHere: boolean;
  /** Records that have something sealed with it. */
  readonly uses: number;
  readonly createdAt: number | null;
}

/** The keys that secrets are sealed with, and the way from one to the next while the server serves. */
export interface KeyRotation extends Service {
  list(): Promise<readonly EncryptionKey[]>;
  /**
   * From now on the newest key seals: a new one where the server keeps its keys itself, else the first that the operator
   * has written down. What was sealed before follows in the background; repeated, it goes on where it was.
   */
  rotate(): Promise<{ readonly keyId: string; readonly isNew: boolean }>;
  /** Throws `encryption_key_not_found`, and `encryption_key_in_use` while anything is sealed with it. */
  remove(id: string): Promise<void>;
  /** Waits for the round that is under way, if one is. For tests. */
  settled(): Promise<void>;
}

export interface KeyRotationDeps {
  readonly store: SealedStore;
  readonly sealing: Sealing;
  readonly clock: Clock;
  readonly log: Logger;
  /** What is to be done with a text besides: a secret from before there was sealing is sealed. */
  readonly upgrade: (table: SealedTable, row: SealedRow) => string;
}

/** How often a server looks whether another has changed the key. */
const POLL_MS = 5000;
/** Between two records that are sealed anew, so that requests have the database in between. */
const PAUSE_MS = 2;

export function createKeyRotation({ store, sealing, clock, log, upgrade }: KeyRotationDeps): KeyRotation {
  const { sealer, ring } = sealing;
  let stopping = new AbortController();
  let round: Promise<void> | undefined;
  let isWanted = false;
  let cancel: (() => void) | undefined;

  /** Each write holds only if nobody changed the row since: several servers may do this at once, and a person meanwhile. */
  async function reseal(signal: AbortSignal): Promise<number> {
    let changed = 0;
    for await (const { table, row } of sealedRows(store)) {
      if (signal.aborted) return changed;
      const to = renewed(table, row);
      if (to === undefined || to === row.text) continue;
      const { tenantId, id } = row;
      if (await store.replace({ table, tenantId, id, from: row.text, to })) changed++;
      await delay(clock, PAUSE_MS, signal).catch(() => undefined);
    }
    return changed;
  }

  /** One that cannot be opened stays as it is: its owner is told when it is used, and the others go on. */
  function renewed(table: SealedTable, row: SealedRow): string | undefined {
    try {
      return rewrapped(upgrade(table, row), sealer);
    } catch (error) {
      if (!isPlatformError(error)) throw error;
      log.warn({ err: error, table, tenant: row.tenantId, record: row.id }, 'a secret could not be sealed anew');
      return undefined;
    }
  }

  function begin(): void {
    isWanted = true;
    round ??= run().finally(() => {
      round = undefined;
    });
  }

  async function run(): Promise<void> {
    const { signal } = stopping;
    while (isWanted && !signal.aborted) {
      isWanted = false;
      try {
        const changed = await reseal(signal);
        if (changed > 0) log.info({ key: sealer.currentKeyId, secrets: changed }, 'secrets were sealed with the current key');
      } catch (error) {
        log.warn({ err: error }, 'sealing secrets anew broke off; the next start goes on with it');
      }
    }
  }

  async function follow({ isRotating = false } = {}): Promise<void> {
    try {
      const current = (await store.keys()).find(({ isCurrent }) => isCurrent)?.id;
      if (current === undefined || current === sealer.currentKeyId) return;
      sealer.use(current);
      // What this server has sealed with the former one meanwhile, the other may have passed by.
      if (!isRotating) begin();
    } catch (error) {
      log.warn({ err: error }, 'the current encryption key could not be followed');
    }
  }

  async function usesByKey(): Promise<ReadonlyMap<string, number>> {
    const uses = new Map<string, number>();
    for await (const { row } of sealedRows(store)) for (const id of new Set(keyIdsIn(row.text))) uses.set(id, (uses.get(id) ?? 0) + 1);
    return uses;
  }

  async function list(): Promise<readonly EncryptionKey[]> {
    ring.reload();
    const [known, uses] = [await store.keys(), await usesByKey()];
    const created = new Map(known.map(({ id, createdAt }) => [id, createdAt]));
    const ids = new Set([...known.map(({ id }) => id), ...ring.ids(), ...uses.keys()]);
    return [...ids].map((id) => ({
      id,
      isCurrent: known.some((one) => one.id === id && one.isCurrent),
      isHere: ring.find(id) !== undefined,
      uses: uses.get(id) ?? 0,
      createdAt: created.get(id) ?? null,
    }));
  }

  return {
    name: 'encryption keys',
    list,
    async rotate() {
      ring.reload();
      await follow({ isRotating: true });
      const before = sealer.currentKeyId;
      const isUnfinished = (await usesByKey()).entries().some(([id]) => id !== before);
      // A rotation that is asked for again goes on; another key is made when the last rotation is through.
      const first = ring.isManaged && !isUnfinished ? ring.make() : ring.first();
      const next = isUnfinished && ring.isManaged ? before : (first?.id ?? before);
      if (next !== before) await store.makeCurrent({ id: next, now: clock.now() });
      sealer.use(next);
      begin();
      return { keyId: next, isNew: next !== before };
    },
    async remove(id) {
      const found = (await list()).find((one) => one.id === id);
      if (found === undefined)
        throw new PlatformError('encryption_key_not_found', { detail: `There is no encryption key "${id.slice(0, 80)}".` });
      if (found.isCurrent) throw new PlatformError('encryption_key_in_use', { detail: `The key ${id} is the current one.` });
      if (found.uses > 0)
        throw new PlatformError('encryption_key_in_use', { detail: `${found.uses} records are sealed with the key ${id}.` });
      await store.forget({ id });
      if (ring.isManaged) ring.drop(id);
    },
    async settled() {
      await round;
    },
    async start() {
      if (stopping.signal.aborted) stopping = new AbortController();
      cancel ??= clock.every(POLL_MS, () => void follow());
      // What a server that died left undone, and what is from before there was sealing.
      begin();
    },
    async stop() {
      cancel?.();
      cancel = undefined;
      stopping.abort();
      await round;
    },
  };
}
