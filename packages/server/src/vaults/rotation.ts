import { PlatformError } from '../base/errors.ts';
import type { Service } from '../base/service.ts';
import type { SealedStore } from '../store/store.ts';
import { createResealer, type ResealerDeps } from './reseal.ts';
import { keyIdsIn, type Sealing, sealedRows } from './sealing.ts';

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

export interface KeyRotationDeps extends Omit<ResealerDeps, 'sealer'> {
  readonly sealing: Sealing;
}

/** How often a server looks whether another has changed the key. */
const POLL_MS = 5000;

export function createKeyRotation({ sealing, ...deps }: KeyRotationDeps): KeyRotation {
  const { store, clock, log } = deps;
  const { sealer, ring } = sealing;
  const resealer = createResealer({ ...deps, sealer });
  let cancel: (() => void) | undefined;

  /** Whether another server has made another key the current one; this one then seals with that as well. */
  async function follow(): Promise<boolean> {
    const current = (await store.keys()).find(({ isCurrent }) => isCurrent)?.id;
    if (current === undefined || current === sealer.currentKeyId) return false;
    sealer.use(current);
    return true;
  }

  const poll = () =>
    follow().then(
      // What this server has sealed with the former one meanwhile, the other may have passed by.
      (isChanged) => isChanged && resealer.begin(),
      (error: unknown) => log.warn({ err: error }, 'the current encryption key could not be followed'),
    );

  return {
    name: 'encryption keys',
    list: () => listKeys(store, sealing),
    async rotate() {
      ring.reload();
      await follow();
      const before = sealer.currentKeyId;
      const isUnfinished = (await usesByKey(store)).keys().some((id) => id !== before);
      const next = nextKey(sealing, isUnfinished);
      if (next !== before) await store.makeCurrent({ id: next, now: clock.now() });
      sealer.use(next);
      resealer.begin();
      return { keyId: next, isNew: next !== before };
    },
    async remove(id) {
      const found = (await listKeys(store, sealing)).find((one) => one.id === id);
      if (found === undefined)
        throw new PlatformError('encryption_key_not_found', { detail: `There is no encryption key "${id.slice(0, 80)}".` });
      const inUse = (detail: string) => new PlatformError('encryption_key_in_use', { detail });
      if (found.isCurrent) throw inUse(`The key ${id} is the current one.`);
      if (found.uses > 0) throw inUse(`${found.uses} records are sealed with the key ${id}.`);
      await store.forget({ id });
      if (ring.isManaged) ring.drop(id);
    },
    settled: resealer.settled,
    async start() {
      cancel ??= clock.every(POLL_MS, () => void poll());
      // What a server that died left undone, and what is from before there was sealing.
      resealer.begin();
    },
    async stop() {
      cancel?.();
      cancel = undefined;
      await resealer.stop();
    },
  };
}

/** A rotation that is asked for again goes on; another key is made when the last rotation is through. */
function nextKey({ ring, sealer }: Sealing, isUnfinished: boolean): string {
  if (!ring.isManaged) return ring.first()?.id ?? sealer.currentKeyId;
  return isUnfinished ? sealer.currentKeyId : ring.make().id;
}

async function usesByKey(store: SealedStore): Promise<ReadonlyMap<string, number>> {
  const uses = new Map<string, number>();
  for await (const { row } of sealedRows(store)) for (const id of new Set(keyIdsIn(row.text))) uses.set(id, (uses.get(id) ?? 0) + 1);
  return uses;
}

async function listKeys(store: SealedStore, { ring }: Sealing): Promise<readonly EncryptionKey[]> {
  ring.reload();
  const [known, uses] = [await store.keys(), await usesByKey(store)];
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
