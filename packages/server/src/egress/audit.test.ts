import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createManualClock } from '../../test/support/manual-clock.ts';
import { newId } from '../base/ids.ts';
import { silentLogger } from '../base/log.ts';
import type { EgressRecord, EgressStore } from '../store/store.ts';
import { createEgressAudit } from './audit.ts';

function recordOf(more: Partial<EgressRecord> = {}): EgressRecord {
  return {
    id: newId('egress'),
    tenantId: 'default',
    sessionId: 'ses_1',
    sandboxId: 'sbx_1',
    way: 'tunnel',
    method: 'CONNECT',
    host: 'a.example',
    port: 443,
    address: null,
    outcome: 'allowed',
    reason: 'listed',
    times: 1,
    bytesUp: 0,
    bytesDown: 0,
    ending: null,
    createdAt: 1,
    endedAt: null,
    ...more,
  };
}

/** A store that takes what it is given, or nothing while it is broken. */
function recordingStore() {
  const state = { isBroken: false, records: [] as EgressRecord[], endings: 0, requests: 0, trims: 0 };
  const store: EgressStore = {
    async record({ records, endings, used }) {
      if (state.isBroken) throw new Error('no database');
      state.records.push(...records);
      state.endings += endings.length;
      for (const { requests } of used) state.requests += requests;
    },
    usage: async () => ({ requests: state.requests, bytes: 0 }),
    list: async () => ({ data: state.records, next: null, prev: null }),
    async trim() {
      state.trims++;
      return 0;
    },
    purge: async () => 0,
  };
  return { state, store };
}

test('what the store does not take now is kept for later, up to a bound; beyond it is counted', async () => {
  const { state, store } = recordingStore();
  const audit = createEgressAudit({ store, clock: createManualClock(), log: silentLogger, rowsPerSession: 1000 });
  state.isBroken = true;
  for (let index = 0; index < 12_000; index++) audit.add(recordOf());
  audit.use({ tenantId: 'default', sessionId: 'ses_1' }, { requests: 3, bytes: 0 });
  await assert.rejects(audit.flush());
  assert.equal(audit.dropped(), 2000);
  state.isBroken = false;
  assert.equal((await audit.usage({ tenantId: 'default', sessionId: 'ses_1' })).requests, 3);
  assert.equal(new Set(state.records.map(({ id }) => id)).size, 10_000);
  assert.deepEqual(audit.counts(), [{ outcome: 'allowed', reason: 'listed', count: 12_000 }]);
  assert.ok(state.trims > 0);
  await audit.close();
});

test('an end that comes before its record was written is written with it', async () => {
  const { state, store } = recordingStore();
  const audit = createEgressAudit({ store, clock: createManualClock(), log: silentLogger, rowsPerSession: 1000 });
  const [early, late] = [recordOf(), recordOf()];
  const end = ({ id }: EgressRecord) =>
    audit.end({ tenantId: 'default', sessionId: 'ses_1', id, bytesUp: 1, bytesDown: 2, ending: 'done', endedAt: 5 });
  audit.add(early);
  end(early);
  audit.add(late);
  await audit.flush();
  end(late);
  await audit.flush();
  assert.deepEqual([state.records[0]?.ending, state.records[1]?.ending, state.endings], ['done', null, 1]);
  await audit.close();
});
