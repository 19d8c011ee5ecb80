import type { Clock } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Principal } from '../core/access.ts';
import { connectionOf } from './connection.ts';
import type { AppContext } from './context.ts';

/** By what a request got in, and how to ask again whether that still counts. */
export interface Entry {
  readonly hash: string;
  readonly find: () => Promise<Principal | undefined>;
}

/**
 * Answers that stay open, such as streams of events, outlive the look at their credential. Every few seconds each
 * credential is looked at again, once for all of its answers, and what does not count any more is cut.
 */
export interface OpenRequests {
  add(c: AppContext, entry: Entry): void;
  /** How many are looked after. */
  size(): number;
}

/** With the time a look takes this stays below the five seconds that are promised. */
const LOOK_MS = 3000;

interface Open extends Entry {
  readonly principal: Principal;
  readonly cut: () => void;
}

export function createOpenRequests({ clock, log }: { readonly clock: Clock; readonly log: Logger }): OpenRequests {
  const open = new Set<Open>();
  let stop: (() => void) | undefined;
  let looking = false;

  async function look(): Promise<void> {
    if (looking) return;
    looking = true;
    try {
      for (const requests of Map.groupBy(open, ({ hash }) => hash).values()) {
        const [first] = requests;
        const now = first === undefined ? undefined : await stateOf(first);
        if (now === 'unknown') continue;
        for (const one of requests) if (!isSame(one.principal, now)) one.cut();
      }
    } finally {
      looking = false;
    }
  }

  async function stateOf({ find }: Entry): Promise<Principal | undefined | 'unknown'> {
    try {
      return await find();
    } catch (error) {
      if (isPlatformError(error, 'tenant_suspended')) return undefined;
      log.debug({ err: error }, 'the credential of an open answer could not be looked at');
      return 'unknown';
    }
  }

  return {
    add(c, entry) {
      const connection = connectionOf(c);
      if (connection === undefined) return;
      const one: Open = { ...entry, principal: c.get('principal'), cut: connection.cut };
      open.add(one);
      stop ??= clock.every(LOOK_MS, () => void look());
      connection.onClose(() => {
        open.delete(one);
        if (open.size > 0) return;
        stop?.();
        stop = undefined;
      });
    },
    size: () => open.size,
  };
}

function isSame(before: Principal, now: Principal | undefined): boolean {
  return now !== undefined && now.role === before.role && now.tenantId === before.tenantId;
}
