// The server as tests start it: the product's own parts, and around them what a test asks for.
//   CLOISTER_TEST_CRASH_AT=name:n   dies by SIGKILL at the nth passage of a crash point
//   CLOISTER_TEST_DEFECT=name       has a defect that the checker must find
//   CLOISTER_TEST_OUTBOX_LEASE_MS   gives deliveries of a killed server back sooner
// The product's entry point knows none of these.
import { armCrashPoints, CRASH_POINTS } from '../../packages/server/src/base/crash-points.ts';
import { loadConfig } from '../../packages/server/src/config.ts';
import { startServer } from '../../packages/server/src/main.ts';
import type { Store } from '../../packages/server/src/store/store.ts';
import { stopRequested } from '../support/stop-signs.ts';
import { changeStatements, SQL_DEFECTS } from './defects/sql-defects.ts';
import { STORE_DEFECTS, type WrapStore } from './defects/store-defects.ts';

const { CLOISTER_TEST_CRASH_AT: crashAt, CLOISTER_TEST_DEFECT: defect, CLOISTER_TEST_OUTBOX_LEASE_MS: outboxLeaseMs } = process.env;

if (crashAt !== undefined) armCrash(crashAt);
const wraps: WrapStore[] = [];
if (defect !== undefined) wraps.push(...install(defect));
if (outboxLeaseMs !== undefined) wraps.push(withOutboxLease(Number(outboxLeaseMs)));

const stopped = stopRequested();
const server = await startServer(loadConfig(), { wrapStore: (store) => wraps.reduce((wrapped, wrap) => wrap(wrapped), store) });
await stopped;
await server.stop();

function armCrash(text: string): void {
  const [name, count = '1'] = text.split(':');
  if (!CRASH_POINTS.some((known) => known === name)) throw new Error(`there is no crash point ${name}`);
  let left = Number(count);
  armCrashPoints((passed) => {
    if (passed === name && --left === 0) process.kill(process.pid, 'SIGKILL');
  });
}

function install(name: string): WrapStore[] {
  if (isKey(SQL_DEFECTS, name)) {
    changeStatements(SQL_DEFECTS[name]);
    return [];
  }
  if (isKey(STORE_DEFECTS, name)) return [STORE_DEFECTS[name]];
  throw new Error(`there is no defect ${name}`);
}

function withOutboxLease(leaseMs: number): WrapStore {
  return (store: Store) => ({ ...store, outbox: { ...store.outbox, lease: (input) => store.outbox.lease({ ...input, leaseMs }) } });
}

function isKey<T extends object>(table: T, name: string): name is Extract<keyof T, string> {
  return Object.hasOwn(table, name);
}
