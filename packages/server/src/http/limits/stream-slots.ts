import type { Refusals } from '../../base/refusals.ts';

/** Answers that stay open: event streams, and requests that wait for their turn. */
export interface StreamSlots {
  /** Throws `capacity_exhausted` or `overloaded` when there are too many. What it returns gives the slot back; it may be called twice. */
  take(tenantId: string): () => void;
  open(): number;
}

const RETRY_AFTER_MS = 10_000;

export function createStreamSlots(input: {
  readonly max: number;
  readonly maxPerTenant: number;
  readonly refusals: Refusals;
}): StreamSlots {
  const { max, maxPerTenant, refusals } = input;
  const byTenant = new Map<string, number>();
  let all = 0;
  return {
    take(tenantId) {
      const own = byTenant.get(tenantId) ?? 0;
      const refuse = (reason: 'streams' | 'tenant_streams', limit: number) =>
        refusals.refuse(reason, { detail: `${limit} streams and waiting requests are open already.`, retryAfterMs: RETRY_AFTER_MS });
      if (own >= maxPerTenant) throw refuse('tenant_streams', maxPerTenant);
      if (all >= max) throw refuse('streams', max);
      all++;
      byTenant.set(tenantId, own + 1);
      let isOpen = true;
      return () => {
        if (!isOpen) return;
        isOpen = false;
        all--;
        const left = (byTenant.get(tenantId) ?? 1) - 1;
        if (left === 0) byTenant.delete(tenantId);
        else byTenant.set(tenantId, left);
      };
    },
    open: () => all,
  };
}
