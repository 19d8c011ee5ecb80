import type { EgressAudit } from './audit.ts';

/** For a gateway without a store, as the doctor's: decides the same and keeps nothing. */
export function createUnkeptAudit(): EgressAudit {
  const none = async () => undefined;
  return {
    add: () => undefined,
    end: () => undefined,
    use: () => undefined,
    usage: async () => ({ requests: 0, bytes: 0 }),
    counts: () => [],
    bytes: () => 0,
    dropped: () => 0,
    flush: none,
    close: none,
  };
}
