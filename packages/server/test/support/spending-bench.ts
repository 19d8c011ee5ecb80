import { type Approvals, createApprovals } from '../../src/approvals/approvals.ts';
import { systemClock } from '../../src/base/clock.ts';
import { newId } from '../../src/base/ids.ts';
import { silentLogger } from '../../src/base/log.ts';
import type { AuditEntry } from '../../src/core/audit.ts';
import type { SpendingSettings } from '../../src/core/spending-settings.ts';
import type { BudgetRow, LeasedTurn, Store } from '../../src/store/store.ts';
import { type Accounts, createAccounts } from '../../src/usage/accounts.ts';
import { createPriceTable } from '../../src/usage/prices.ts';

const SETTINGS: SpendingSettings = {
  pricesFile: undefined,
  bytesPerToken: 1,
  defaultMaxOutputTokens: 100,
  holdMs: 60_000,
  pollMs: 50,
  recordsMs: undefined,
};

/** A currency unit for a million tokens, whatever they are: a token costs a millionth. */
const FLAT = { input: 1_000_000, output: 1_000_000, cacheRead: 1_000_000, cacheWrite: 1_000_000 };

export function openAccounts(store: Store, more: { readonly settings?: Partial<SpendingSettings>; readonly nodeId?: string } = {}) {
  const approvals: Approvals = createApprovals({
    store,
    clock: systemClock,
    audit: { record: async (_entry: AuditEntry) => undefined },
    timeoutMs: 60_000,
    signal: { asked: () => undefined, confirmed: () => undefined },
  });
  const accounts: Accounts = createAccounts({
    store,
    prices: createPriceTable({ fallback: FLAT, prices: [] }),
    clock: systemClock,
    log: silentLogger,
    nodeId: more.nodeId ?? newId('node'),
    isSoleNode: !store.events.isShared,
    leaseMs: 60_000,
    settings: { ...SETTINGS, ...more.settings },
    approvals,
  });
  return { accounts, approvals };
}

export async function addBudget(store: Store, limitMicros: number, more: Partial<BudgetRow> = {}): Promise<BudgetRow> {
  const base = { id: newId('budget'), tenantId: 'default', scope: 'tenant', subjectId: 'default', period: 'total' } as const;
  return store.budgets.create({ ...base, ...more, limitMicros, max: 100, now: systemClock.now() });
}

/** A turn of the session that runs. */
export async function runTurn(store: Store, sessionId = 'ses_1'): Promise<LeasedTurn> {
  const now = systemClock.now();
  const event = (type: string) => ({ id: newId('event'), type, payload: {}, processedAt: now });
  const effect = { kind: 'message', turnId: newId('turn') } as const;
  await store.turns.accept({
    tenantId: 'default',
    sessionId,
    events: [{ ...event('user.message'), effect }],
    maxQueuedPerSession: 10,
    now,
  });
  const place = { nodeId: 'nod_one', volumeId: 'vol_one', leaseMs: 60_000, now };
  const leased = await store.turns.lease({ ...place, running: event('session.status_running') });
  if (leased === undefined) throw new Error('there is a turn to lease');
  return leased;
}
