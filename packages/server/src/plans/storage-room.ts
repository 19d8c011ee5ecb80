import type { Clock } from '../base/clock.ts';
import { newId } from '../base/ids.ts';
import type { Logger } from '../base/log.ts';
import type { SessionPlaces } from '../sandboxes/session-files.ts';
import type { SessionKey, Store } from '../store/store.ts';
import { rootsOf } from '../workspaces/quota.ts';
import { takenBySnapshots } from '../workspaces/shared-blocks.ts';
import { measure } from '../workspaces/usage.ts';

/** What the plan of a tenant leaves for the files of its sessions. */
export interface StorageRoom {
  /**
   * Room for what is about to be written, until it is counted: for `bytes` of it at once, as far as that is known, so
   * that of several at one moment the first have theirs. Throws `plan_limit_reached` when there is not so much.
   */
  hold(tenantId: string, bytes?: number): Promise<StorageHold>;
  /** Counts a session's files and snapshots as they are now, where the plan limits storage. Never throws: what was written is there. */
  count(session: SessionKey, places: SessionPlaces): Promise<void>;
}

/** Nobody else is given what it holds. Let go of it after what was written has been counted. */
export interface StorageHold extends AsyncDisposable {
  /** Throws `plan_limit_reached` when there is no room for so many bytes more. */
  take(bytes: number): Promise<void>;
  /** Passes on what there is room for. */
  meter(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array>;
}

export interface StorageRoomDeps {
  readonly store: Pick<Store, 'plans'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** More files than this count as so many: counting them must not take longer than making them did. */
const MAX_ENTRIES = 500_000;
/** Asked for at once, so that not every piece costs a commit; the more, the more is written. */
const FIRST_STEP = 1024 * 1024;
const MAX_STEP = 16 * FIRST_STEP;
/** What a server held that has died is given free. A hold is extended whenever it takes more. */
const HOLD_MS = 2 * 3_600_000;

export function createStorageRoom(deps: StorageRoomDeps): StorageRoom {
  const { store, clock, log } = deps;
  /** One after the other for a session, so that an older count never replaces a newer one. */
  const counting = new Map<string, Promise<void>>();

  async function countNow({ tenantId, sessionId }: SessionKey, places: SessionPlaces): Promise<void> {
    try {
      if ((await store.plans.ofTenant({ tenantId }))?.limits.storage_bytes === undefined) return;
      const bounds = { bytes: Infinity, entries: MAX_ENTRIES };
      const { bytes } = await measure(rootsOf(places), bounds);
      const snapshotBytes = await takenBySnapshots(places, bounds);
      await store.plans.measure({ tenantId, sessionId, bytes, snapshotBytes, now: clock.now() });
    } catch (error) {
      log.warn({ err: error, session: sessionId }, 'the files of a session could not be measured for its plan');
    }
  }

  return {
    hold: (tenantId, bytes = 0) => openHold(deps, tenantId, Math.max(1, bytes)),
    count(session, places) {
      const { sessionId } = session;
      const mine = (counting.get(sessionId) ?? Promise.resolve()).then(() => countNow(session, places));
      counting.set(sessionId, mine);
      return mine.finally(() => {
        if (counting.get(sessionId) === mine) counting.delete(sessionId);
      });
    },
  };
}

async function openHold({ store: { plans }, clock, log }: StorageRoomDeps, tenantId: string, bytes: number): Promise<StorageHold> {
  const id = newId('storageHold');
  let free = 0;
  let step = FIRST_STEP;
  const more = async (atLeast: number) => {
    const now = clock.now();
    const granted = await plans.reserve({ tenantId, id, bytes: Math.max(step, atLeast), atLeast, now, expiresAt: now + HOLD_MS });
    free += granted ?? Infinity;
    step = Math.min(step * 2, MAX_STEP);
  };
  const take = async (bytes: number) => {
    if (bytes > free) await more(bytes - free);
    free -= bytes;
  };
  if ((await plans.ofTenant({ tenantId }))?.limits.storage_bytes === undefined) free = Infinity;
  else await more(bytes);
  return {
    take,
    async *meter(source) {
      for await (const chunk of source) {
        await take(chunk.byteLength);
        yield chunk;
      }
    },
    async [Symbol.asyncDispose]() {
      // Without a limit nothing was written down.
      if (free === Infinity) return;
      await plans
        .release({ tenantId, id })
        .catch((error: unknown) => log.warn({ err: error }, 'room for files stays reserved for a while'));
    },
  };
}
