import type { Rule } from './checker.ts';
import type { SQL_DEFECTS } from './defects/sql-defects.ts';
import type { STORE_DEFECTS } from './defects/store-defects.ts';
import type { TortureOptions } from './run.ts';

export interface Control {
  readonly defect: keyof typeof STORE_DEFECTS | keyof typeof SQL_DEFECTS;
  /** The rule that the defect breaks; others may break with it. */
  readonly rule: Rule;
  readonly options: Omit<TortureOptions, 'seed'>;
}

const calm = (calmMs: number, slowness = 1) => ({ kills: 0, calmMs, slowness }) as const;
const TWO_ON_POSTGRES = { store: 'postgres', servers: 2 } as const;

/** Positive controls: servers with a known defect, and what the checker has to say of them. */
export const CONTROLS: readonly Control[] = [
  { defect: 'ack_before_commit', rule: 'one key, one event', options: { kills: 5, faults: ['kill'] } },
  { defect: 'drop_on_shutdown', rule: 'one key, one event', options: { kills: 3, faults: ['term'] } },
  { defect: 'tool_log_ignored', rule: 'no tool runs twice', options: { kills: 5, faults: ['crash:run.before_finish'], maxPassage: 30 } },
  { defect: 'idempotency_forgotten', rule: 'one key, one event', options: calm(2000) },
  { defect: 'queue_unbounded', rule: 'queues are bounded', options: calm(2500, 6) },
  { defect: 'outcome_twice', rule: 'one outcome at most', options: calm(1000) },
  { defect: 'event_lost_on_fanout', rule: 'stream equals log', options: calm(1500) },
  { defect: 'order_ignored', rule: 'turns in the order of acceptance', options: calm(2500, 4) },
  { defect: 'double_outbox_writer', rule: 'nothing twice without a fault', options: calm(2000) },
  { defect: 'delivery_forgotten', rule: 'webhooks tell everything', options: calm(1500) },
  {
    defect: 'lease_never_renewed',
    rule: 'nothing twice without a fault',
    options: { ...TWO_ON_POSTGRES, ...calm(5000, 60), env: { LEASE_SECONDS: '1' } },
  },
  {
    defect: 'no_fencing',
    rule: 'one outcome at most',
    options: { ...TWO_ON_POSTGRES, kills: 3, faults: ['pause'], calmMs: 500, slowness: 30, livenessMs: 8000 },
  },
];
