import assert from 'node:assert/strict';
import { newId } from '../../base/ids.ts';
import type { EgressRecord } from '../store.ts';
import { createSession, type Laws, law, readPages, T0, TENANT } from './kit.ts';

function recordOf(sessionId: string, more: Partial<EgressRecord> = {}): EgressRecord {
  return {
    id: newId('egress'),
    tenantId: TENANT,
    sessionId,
    sandboxId: 'sbx_one',
    way: 'tunnel',
    method: 'CONNECT',
    host: 'example.org',
    port: 443,
    address: '1.1.1.1',
    outcome: 'allowed',
    reason: 'listed',
    times: 1,
    bytesUp: 0,
    bytesDown: 0,
    ending: null,
    createdAt: T0,
    endedAt: null,
    ...more,
  };
}

const newest = { limit: 100, order: 'desc' } as const;

export const egressLaws: Laws = {
  'decisions are listed newest first, for their own tenant and session, and get their end': law(async (store) => {
    const [one, other] = [await createSession(store), await createSession(store)];
    const records = Array.from({ length: 5 }, (_, index) =>
      recordOf(one.id, { createdAt: T0 + index, ...(index % 2 === 0 ? {} : { outcome: 'denied', reason: 'not_listed', address: null }) }),
    );
    await store.egress.record({ records: [...records, recordOf(other.id)], endings: [], used: [] });
    // Told a second time, as after a commit whose answer was lost.
    await store.egress.record({ records, endings: [], used: [] });
    const [first] = records;
    assert(first !== undefined);
    const { id } = first;
    const ending = { tenantId: TENANT, sessionId: one.id, id, bytesUp: 7, bytesDown: 9, ending: 'done', endedAt: T0 + 9 };
    await store.egress.record({ records: [], endings: [ending], used: [] });
    const pages = await readPages((paging) => store.egress.list({ tenantId: TENANT, sessionId: one.id, order: 'desc', ...paging }), 2);
    assert.deepEqual(pages.flat(), [...records.slice(1).reverse(), { ...first, ...ending }]);
    const denied = await store.egress.list({ tenantId: TENANT, sessionId: one.id, outcome: 'denied', ...newest });
    assert.deepEqual(denied.data, [records[3], records[1]]);
    assert.deepEqual((await store.egress.list({ tenantId: 'other', sessionId: one.id, ...newest })).data, []);
  }),

  'what a session uses adds up, and goes with it': law(async (store) => {
    const { id: sessionId } = await createSession(store);
    const key = { tenantId: TENANT, sessionId };
    assert.deepEqual(await store.egress.usage(key), { requests: 0, bytes: 0 });
    const gone = { tenantId: TENANT, sessionId: 'ses_gone', requests: 1, bytes: 1 };
    for (const bytes of [10, 5_000_000_000]) {
      await store.egress.record({ records: [recordOf('ses_gone')], endings: [], used: [{ ...key, requests: 2, bytes }, gone] });
    }
    assert.deepEqual(await store.egress.usage(key), { requests: 4, bytes: 5_000_000_010 });
    assert.deepEqual(await store.egress.usage({ ...key, sessionId: 'ses_gone' }), { requests: 0, bytes: 0 });
    assert.deepEqual((await store.egress.list({ ...key, sessionId: 'ses_gone', ...newest })).data, []);
    await store.egress.record({ records: [recordOf(sessionId)], endings: [], used: [] });
    const event = { id: newId('event'), type: 'session.deleted', payload: {}, processedAt: T0 };
    assert.equal(await store.sessions.remove({ tenantId: TENANT, id: sessionId, event, now: T0 }), true);
    assert.deepEqual((await store.egress.list({ ...key, ...newest })).data, []);
    assert.deepEqual(await store.egress.usage(key), { requests: 0, bytes: 0 });
  }),

  'only the newest of a session are kept, and none that is too old': law(async (store) => {
    const { id: sessionId } = await createSession(store);
    const records = Array.from({ length: 10 }, (_, index) => recordOf(sessionId, { createdAt: T0 + index }));
    await store.egress.record({ records, endings: [], used: [] });
    const key = { tenantId: TENANT, sessionId };
    const left = async () => (await store.egress.list({ ...key, ...newest })).data.map(({ createdAt }) => createdAt - T0);
    assert.equal(await store.egress.trim({ ...key, keep: 6, limit: 100 }), 4);
    assert.equal(await store.egress.trim({ ...key, keep: 6, limit: 100 }), 0);
    assert.deepEqual(await left(), [9, 8, 7, 6, 5, 4]);
    assert.equal(await store.egress.purge({ before: T0 + 7, limit: 2 }), 2);
    assert.equal(await store.egress.purge({ before: T0 + 7, limit: 2 }), 1);
    assert.deepEqual(await left(), [9, 8, 7]);
  }),
};
