import type { Approvals } from '../approvals/approvals.ts';
import type { Clock } from '../base/clock.ts';
import { type Budgets, createBudgets } from '../budgets/budgets.ts';
import type { AuditSink } from '../core/audit.ts';
import { createPlans, type Plans } from '../plans/plans.ts';
import type { Store } from '../store/store.ts';
import type { Accounts } from './accounts.ts';
import { createUsageReports, type UsageReports } from './usage.ts';

/** What models cost, and what bounds it, as the HTTP surface and the metrics need it. */
export interface SpendingParts {
  readonly reports: UsageReports;
  readonly budgets: Budgets;
  readonly plans: Plans;
  readonly records: Accounts['records'];
}

export interface SpendingDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly audit: AuditSink;
  readonly approvals: Approvals;
  readonly accounts: Accounts;
}

export function createSpending({ store, clock, audit, approvals, accounts }: SpendingDeps): SpendingParts {
  const { currency } = accounts.prices;
  return {
    reports: createUsageReports({ usage: store.usage, currency }),
    budgets: createBudgets({ store, clock, audit, approvals, currency, onChanged: accounts.budgetsChanged }),
    plans: createPlans({ store, clock, audit }),
    records: accounts.records,
  };
}
