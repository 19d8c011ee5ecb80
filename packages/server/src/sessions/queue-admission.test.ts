import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createManualClock } from '../../test/support/manual-clock.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { systemClock } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import { silentLogger } from '../base/log.ts';
import { createRefusals } from '../base/refusals.ts';
import { createSession, message, TENANT } from '../store/conformance/kit.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import { createQueueAdmission } from './queue-admission.ts';

test('what waits is bounded, for a tenant and in all, by what was counted and let in since', async () => {
  const store = await openSqliteStore({ file: ':memory:', clock: systemClock });
  const [clock, refusals] = [createManualClock(), createRefusals()];
  const admission = createQueueAdmission({ store, clock, log: silentLogger, refusals, max: 10, maxPerTenant: 6 });
  const refuses = (tenantId: string, messages: number, code: 'capacity_exhausted' | 'overloaded') =>
    assert.throws(
      () => admission.admit(tenantId, messages),
      (error) => isPlatformError(error, code) && error.retryAfterMs !== undefined,
    );
  try {
    const session = await createSession(store);
    await store.turns.accept({
      tenantId: TENANT,
      sessionId: session.id,
      events: Array.from({ length: 4 }, () => message()),
      maxQueuedPerSession: 100,
      now: 0,
    });
    await admission.start();
    refuses(TENANT, 3, 'capacity_exhausted');
    admission.admit(TENANT, 2);
    refuses(TENANT, 1, 'capacity_exhausted');
    admission.admit(TENANT, 0);
    admission.admit('other', 4);
    refuses('other', 1, 'overloaded');
    assert.deepEqual(
      [...refusals.counts()],
      [
        ['tenant_queue', 2],
        ['queue', 1],
      ],
    );
    // What was let in and came to nothing is forgotten with the next count.
    clock.advance(1000);
    await waitFor(() => attempt(() => admission.admit('other', 5)), { timeoutMs: 5000, what: 'the next count' });
  } finally {
    await admission.stop();
    await store.close();
  }
  assert.equal(clock.pending(), 0);
});

function attempt(act: () => void): boolean {
  try {
    act();
    return true;
  } catch {
    return false;
  }
}
