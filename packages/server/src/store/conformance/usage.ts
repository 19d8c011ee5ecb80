import assert from 'node:assert/strict';
import { newId } from '../../base/ids.ts';
import { DAY_MS, dayStart, monthStart, nextMonth } from '../../core/periods.ts';
import type { BudgetRow, CallRecord, CallSubject, Store } from '../store.ts';
import { createSession, finish, type Laws, law, lease, NODE, queue, readPages, refuses, T0, TENANT, tryLease } from './kit.ts';

const LEASE_MS = 60_000;

function subject(more: Partial<CallSubject> = {}): CallSubject {
  const id = newId('request');
  const names = { tenantId: TENANT, agentId: 'agt_one', sessionId: 'ses_one', turnId: 'trn_one', provider: 'anthropic', model: 'claude-x' };
  return { id, ...names, startedAt: T0, ...more };
}

function record(call: CallSubject, costMicros: number, more: Partial<CallRecord> = {}): CallRecord {
  const usage = { inputTokens: 10, outputTokens: 5, cacheReadTokens: 3, cacheCreationTokens: 2 };
  const priced = { costMicros, priceVersion: 'test', isEstimated: false };
  return { ...call, usage, ...priced, outcome: 'succeeded', endedAt: T0 + 5, ...more };
}

type NewBudget = Partial<Parameters<Store['budgets']['create']>[0]>;

async function budget(store: Store, limitMicros: number, more: NewBudget = {}): Promise<BudgetRow> {
  const id = newId('budget');
  const base = { id, tenantId: TENANT, scope: 'tenant', subjectId: TENANT, period: 'total', limitMicros, max: 10, now: T0 } as const;
  return store.budgets.create({ ...base, ...more });
}

async function reserve(store: Store, call: CallSubject, amountMicros: number, now = T0, nodeId = NODE) {
  return store.usage.reserve({ call, amountMicros, nodeId, leaseMs: LEASE_MS, now });
}

async function shown(store: Store, { id }: BudgetRow, now = T0): Promise<readonly number[]> {
  const row = (await store.budgets.find({ tenantId: TENANT, id, now })) ?? assert.fail('the budget exists');
  return [row.spentMicros, row.reservedMicros];
}

async function total(store: Store, tenantId: string | undefined = TENANT) {
  const { data } = await store.usage.sums({ tenantId, groups: [], limit: 10, order: 'asc' });
  return data[0];
}

export const usageLaws: Laws = {
  'a call that is written twice counts once, in every sum': law(async (store) => {
    const calls = [
      record(subject(), 7),
      record(subject({ model: 'claude-y', sessionId: 'ses_two' }), 5, { isEstimated: true }),
      record(subject({ startedAt: T0 + DAY_MS }), 3),
      record(subject({ tenantId: 'other' }), 100),
    ];
    for (const call of [...calls, ...calls]) await store.usage.settle({ call, now: T0 });
    const sum = (await total(store)) ?? assert.fail('there is a sum');
    assert.deepEqual([sum.calls, sum.estimatedCalls, sum.costMicros, sum.inputTokens, sum.outputTokens], [3, 1, 15, 30, 15]);
    assert.equal((await store.usage.sums({ tenantId: undefined, groups: [], limit: 1, order: 'asc' })).data[0]?.costMicros, 115);
    const groups = ['day', 'model'] as const;
    const pages = await readPages((paging) => store.usage.sums({ tenantId: TENANT, groups, order: 'asc', ...paging }), 2);
    assert.deepEqual(
      pages.flat().map(({ day, model, costMicros, sessionId }) => [day, model, costMicros, sessionId]),
      [
        [dayStart(T0), 'claude-x', 7, null],
        [dayStart(T0), 'claude-y', 5, null],
        [dayStart(T0) + DAY_MS, 'claude-x', 3, null],
      ],
    );
    const first = { from: dayStart(T0), to: dayStart(T0) };
    assert.equal((await store.usage.sums({ tenantId: TENANT, ...first, groups: [], limit: 1, order: 'asc' })).data[0]?.costMicros, 12);
    assert.deepEqual((await store.usage.sums({ tenantId: 'nobody', groups: [], limit: 1, order: 'asc' })).data, []);
    const own = await store.usage.calls({ tenantId: TENANT, sessionId: 'ses_two', limit: 10, order: 'desc' });
    assert.deepEqual(own.data, [calls[1]]);
    assert.equal(await store.usage.purge({ before: T0 + DAY_MS, limit: 10 }), 3);
    assert.equal((await total(store))?.costMicros, 15, 'the sums stay');
  }),

  'a reservation is on every budget that applies, or on none': law(async (store) => {
    const call = subject();
    assert.deepEqual(await reserve(store, call, 10), { type: 'free' });
    const whole = await budget(store, 100);
    const narrow = await budget(store, 10, { scope: 'session', subjectId: 'ses_one' });
    const foreign = await budget(store, 1, { tenantId: 'other', subjectId: 'other' });
    await budget(store, 0, { scope: 'agent', subjectId: 'agt_two' });
    const refused = await reserve(store, call, 11);
    assert.deepEqual(refused.type === 'reached' && refused.budgets.map(({ id }) => id), [narrow.id]);
    assert.deepEqual(
      [await shown(store, whole), await shown(store, narrow)],
      [
        [0, 0],
        [0, 0],
      ],
    );
    assert.equal((await reserve(store, call, 10)).type, 'reserved');
    assert.deepEqual(
      [await shown(store, whole), await shown(store, narrow)],
      [
        [0, 10],
        [0, 10],
      ],
    );
    await store.usage.settle({ call: record(call, 4), now: T0 });
    await store.usage.settle({ call: record(call, 4), now: T0 });
    assert.deepEqual(
      [await shown(store, whole), await shown(store, narrow)],
      [
        [4, 0],
        [4, 0],
      ],
    );
    assert.equal((await store.budgets.find({ tenantId: TENANT, id: foreign.id, now: T0 })) === undefined, true);
    assert.equal((await reserve(store, subject(), 7)).type, 'reached');
    assert.equal((await reserve(store, subject({ sessionId: 'ses_two' }), 96)).type, 'reserved');
  }),

  'many reservations at once never come to more than the limit': law(async (store) => {
    const one = await budget(store, 100);
    const other = await budget(store, 90, { scope: 'agent', subjectId: 'agt_one' });
    const tries = await Promise.all(Array.from({ length: 50 }, () => reserve(store, subject(), 9)));
    assert.equal(tries.filter(({ type }) => type === 'reserved').length, 10);
    assert.deepEqual(
      [await shown(store, one), await shown(store, other)],
      [
        [0, 90],
        [0, 90],
      ],
    );
  }),

  'what a server that died has reserved is charged in full, and put right when its word comes late': law(async (store) => {
    const kept = await budget(store, 100);
    const [dead, living] = [subject(), subject()];
    await reserve(store, dead, 30, T0, 'nod_dead');
    await reserve(store, living, 20);
    const sweep = () => store.usage.sweep({ nodeId: NODE, isSoleNode: true, limit: 10, now: T0 + 1 });
    assert.deepEqual([await sweep(), await sweep()], [1, 0]);
    assert.deepEqual(await shown(store, kept), [30, 20]);
    const [lost] = (await store.usage.calls({ tenantId: TENANT, limit: 10, order: 'asc' })).data;
    assert.deepEqual([lost?.id, lost?.outcome, lost?.costMicros, lost?.isEstimated], [dead.id, 'lost', 30, true]);
    await store.usage.settle({ call: record(dead, 8), now: T0 + 2 });
    assert.deepEqual(await shown(store, kept), [8, 20]);
    assert.deepEqual([(await total(store))?.costMicros, (await total(store))?.calls, (await total(store))?.estimatedCalls], [8, 1, 0]);
    assert.equal(await store.usage.sweep({ nodeId: 'nod_two', isSoleNode: false, limit: 10, now: T0 }), 0, 'its lease has not run out');
  }),

  'a budget counts what its subject has spent in the period, and begins anew with the next': law(async (store) => {
    await store.usage.settle({ call: record(subject(), 40), now: T0 });
    const daily = await budget(store, 50, { period: 'day' });
    const monthly = await budget(store, 50, { period: 'month' });
    const late = await budget(store, 50, { now: T0 + DAY_MS });
    assert.deepEqual([daily.spentMicros, monthly.spentMicros, late.spentMicros], [40, 40, 40]);
    assert.equal((await budget(store, 50, { period: 'day', now: T0 + DAY_MS })).spentMicros, 0);
    assert.equal((await budget(store, 50, { scope: 'agent', subjectId: 'agt_two' })).spentMicros, 0);
    await store.budgets.remove({ tenantId: TENANT, id: monthly.id });
    await store.budgets.raise({ tenantId: TENANT, id: daily.id, key: 'one', amountMicros: 5, now: T0 });
    await store.budgets.raise({ tenantId: TENANT, id: late.id, key: 'one', amountMicros: 100, now: T0 });
    const tomorrow = T0 + DAY_MS;
    assert.equal((await reserve(store, subject(), 20)).type, 'reached');
    assert.deepEqual(await shown(store, daily, tomorrow), [0, 0]);
    assert.equal((await reserve(store, subject({ startedAt: tomorrow }), 50, tomorrow)).type, 'reserved');
    assert.deepEqual(await shown(store, daily, tomorrow), [0, 50]);
    const row = await store.budgets.find({ tenantId: TENANT, id: daily.id, now: tomorrow });
    assert.deepEqual([row?.raisedMicros, row?.periodStart], [0, dayStart(tomorrow)]);
    assert.deepEqual([monthStart(T0) <= T0, nextMonth(T0) > T0], [true, true]);
  }),

  'a raise counts once, and every change of the budgets can be seen': law(async (store) => {
    const before = await store.budgets.version();
    const small = await budget(store, 10);
    assert.deepEqual(await store.budgets.tenants(), new Set([TENANT]));
    assert.notEqual(await store.budgets.version(), before);
    const raise = { tenantId: TENANT, id: small.id, key: 'apr_one', amountMicros: 15, now: T0 };
    assert.equal((await store.budgets.raise(raise)).raisedMicros, 15);
    assert.equal((await store.budgets.raise(raise)).raisedMicros, 15);
    assert.equal((await reserve(store, subject(), 25)).type, 'reserved');
    await refuses(store.budgets.raise({ ...raise, tenantId: 'other' }), 'budget_not_found');
    await refuses(store.budgets.update({ tenantId: 'other', id: small.id, limitMicros: 1, now: T0 }), 'budget_not_found');
    await refuses(budget(store, 1, { max: 1 }), 'budget_limit_reached');
    assert.equal(await store.budgets.remove({ tenantId: 'other', id: small.id }), false);
    assert.equal(await store.budgets.remove({ tenantId: TENANT, id: small.id }), true);
    await store.usage.settle({ call: record(subject(), 1), now: T0 });
    assert.equal((await reserve(store, subject(), 25)).type, 'free');
  }),

  'creations at once do not get past a plan': law(async (store) => {
    await store.plans.create({ id: 'pln_small', name: 'small', limits: { agents: 2, sessions: 3, messages_per_day: 2 }, now: T0 });
    await store.plans.assign({ tenantId: TENANT, planId: 'pln_small', now: T0 });
    const definition = { name: 'Ada' };
    const agents = Array.from({ length: 8 }, () => store.agents.create({ id: newId('agent'), tenantId: TENANT, definition, now: T0 }));
    const made = (await Promise.allSettled(agents)).filter(({ status }) => status === 'fulfilled');
    assert.equal(made.length, 2);
    await refuses(store.agents.create({ id: newId('agent'), tenantId: TENANT, definition, now: T0 }), 'plan_limit_reached');
    const sessions = await Promise.allSettled(Array.from({ length: 8 }, () => createSession(store)));
    assert.equal(sessions.filter(({ status }) => status === 'fulfilled').length, 3);
    await createSession(store, { tenantId: 'other' });
    const { agents: used, sessions: open } = await store.plans.use({ tenantId: TENANT, now: T0 });
    assert.deepEqual([used, open], [2, 3]);
    await refuses(store.plans.remove({ id: 'pln_small' }), 'plan_in_use');
    await store.plans.assign({ tenantId: TENANT, planId: null, now: T0 });
    assert.equal(await store.plans.ofTenant({ tenantId: TENANT }), undefined);
    await createSession(store);
    assert.equal(await store.plans.remove({ id: 'pln_small' }), true);
  }),

  'what is kept counts, and nothing is added to storage that is used up': law(async (store) => {
    await store.plans.create({ id: 'pln_small', name: 'small', limits: { storage_bytes: 100 }, now: T0 });
    await store.plans.assign({ tenantId: TENANT, planId: 'pln_small', now: T0 });
    const used = async () => (await store.plans.use({ tenantId: TENANT, now: T0 })).storage_bytes;
    const upload = async (sizeBytes: number) => {
      const [id, blobId] = [newId('file'), newId('blob')];
      await store.blobs.begin({ tenantId: TENANT, id: blobId, now: T0 });
      const about = { filename: 'a', mimeType: 'text/plain', expiresAt: null, now: T0 };
      return store.files.create({ tenantId: TENANT, id, blobId, sha256: 'digest', sizeBytes, ...about });
    };
    const { id: sessionId } = await createSession(store);
    const file = await upload(60);
    const notes = { tenantId: TENANT, id: newId('memoryStore'), name: 'Notes', description: '', metadata: {}, now: T0 };
    const { id: storeId } = await store.memory.createStore(notes);
    const remember = (path: string, sizeBytes: number) => {
      const version = { versionId: newId('memoryVersion'), actor: { type: 'x' }, now: T0, max: 10 };
      return store.memory.create({
        tenantId: TENANT,
        storeId,
        id: newId('memory'),
        path,
        content: 'x',
        sha256: path,
        sizeBytes,
        ...version,
      });
    };
    await remember('/a', 30);
    assert.equal(await used(), 90);
    await refuses(upload(11), 'plan_limit_reached');
    await refuses(remember('/b', 11), 'plan_limit_reached');
    assert.equal(await used(), 90, 'what is refused leaves nothing');
    await store.plans.measure({ tenantId: TENANT, sessionId, bytes: 10, snapshotBytes: 0, now: T0 });
    await refuses(upload(0), 'plan_limit_reached');
    await refuses(createSession(store), 'plan_limit_reached');
    await refuses(queue(store, sessionId), 'plan_limit_reached');
    await createSession(store, { tenantId: 'other' });
    await store.files.remove({ tenantId: TENANT, id: file.id });
    assert.equal(await used(), 40);
    await createSession(store);
  }),

  'what is being written holds its room, and all that comes at once stays within the limit': law(async (store) => {
    await store.plans.create({ id: 'pln_small', name: 'small', limits: { storage_bytes: 1000 }, now: T0 });
    const hold = (id: string, bytes: number, atLeast: number, now = T0) =>
      store.plans.reserve({ tenantId: TENANT, id, bytes, atLeast, now, expiresAt: now + 1000 });
    assert.equal(await hold('hld_0', 5000, 5000), undefined, 'without a plan nothing is held');
    await store.plans.assign({ tenantId: TENANT, planId: 'pln_small', now: T0 });
    assert.equal(await hold('hld_1', 400, 100), 125, 'an eighth of what is left');
    assert.equal(await hold('hld_1', 400, 375), 375);
    const many = await Promise.allSettled(Array.from({ length: 8 }, (_, index) => hold(`hld_many_${index}`, 200, 200)));
    assert.equal(many.filter(({ status }) => status === 'fulfilled').length, 2);
    const begin = async (size: number) => {
      const id = newId('blob');
      await store.blobs.begin({ tenantId: TENANT, id, now: T0 });
      const data = Buffer.alloc(size).toString('base64');
      const append = (number: number) => store.blobs.append({ tenantId: TENANT, id, number, data });
      return { id, append };
    };
    const upload = await begin(50);
    await upload.append(0);
    await refuses(hold('hld_2', 51, 51), 'plan_limit_reached');
    await upload.append(1);
    await refuses(upload.append(2), 'plan_limit_reached');
    await refuses(begin(1), 'plan_limit_reached');
    const stored = { workspaces: 0, snapshots: 0, memory: 0 };
    assert.deepEqual(await store.plans.stored({ tenantId: TENANT }), { ...stored, contents: 100 });
    assert.equal((await store.plans.use({ tenantId: TENANT, now: T0 })).storage_bytes, 100, 'what is held is not yet used');
    const { id: sessionId } = await createSession(store);
    await store.plans.measure({ tenantId: TENANT, sessionId, bytes: 200, snapshotBytes: 30, now: T0 });
    await store.plans.release({ tenantId: TENANT, id: 'hld_1' });
    assert.equal((await store.plans.use({ tenantId: TENANT, now: T0 })).storage_bytes, 330);
    assert.deepEqual(await store.plans.stored({ tenantId: TENANT }), { ...stored, workspaces: 200, snapshots: 30, contents: 100 });
    await hold('hld_2', 270, 270);
    await refuses(hold('hld_3', 1, 1), 'plan_limit_reached');
    assert.equal(await hold('hld_3', 670, 670, T0 + 1000), 670, 'what nobody extends is free again');
    await store.blobs.discard({ tenantId: TENANT, id: upload.id });
    await hold('hld_3', 100, 100, T0 + 1000);
    await refuses(hold('hld_3', 1, 1, T0 + 1000), 'plan_limit_reached');
    await refuses(
      store.plans.reserve({ tenantId: TENANT, id: 'hld_4', bytes: 1, atLeast: 1, now: T0, expiresAt: T0 + 1 }),
      'plan_limit_reached',
    );
    assert.equal(
      await store.plans.reserve({ tenantId: 'other', id: 'hld_3', bytes: 1, atLeast: 1, now: T0, expiresAt: T0 + 1 }),
      undefined,
    );
  }),

  'a plan lets as many turns work at once as it says': law(async (store) => {
    for (let index = 0; index < 3; index++) {
      const { id } = await createSession(store);
      await queue(store, id);
    }
    await store.plans.create({ id: 'pln_small', name: 'small', limits: { concurrent_sandboxes: 1 }, now: T0 });
    await store.plans.assign({ tenantId: TENANT, planId: 'pln_small', now: T0 });
    const first = await lease(store);
    assert.equal(await tryLease(store), undefined);
    await finish(store, first);
    await lease(store);
    await store.plans.update({ id: 'pln_small', limits: { concurrent_sandboxes: 2 }, now: T0 });
    await lease(store);
    assert.equal(await tryLease(store), undefined);
  }),

  'messages count towards the plan of their day, and tokens towards that of their month': law(async (store) => {
    const { id: sessionId } = await createSession(store);
    await store.plans.create({ id: 'pln_small', name: 'small', limits: { messages_per_day: 3 }, now: T0 });
    await store.plans.assign({ tenantId: TENANT, planId: 'pln_small', now: T0 });
    const send = (now: number) => {
      const id = newId('event');
      const event = {
        id,
        type: 'user.message',
        payload: {},
        processedAt: null,
        effect: { kind: 'message', turnId: newId('turn') },
      } as const;
      return store.turns.accept({ tenantId: TENANT, sessionId, events: [event], maxQueuedPerSession: 100, now });
    };
    const sent = await Promise.allSettled(Array.from({ length: 8 }, () => send(T0)));
    assert.equal(sent.filter(({ status }) => status === 'fulfilled').length, 3);
    await refuses(send(T0), 'plan_quota_used_up');
    assert.equal((await store.plans.use({ tenantId: TENANT, now: T0 })).messages_per_day, 3);
    await send(T0 + DAY_MS);
    await store.plans.update({ id: 'pln_small', limits: { tokens_per_month: 20 }, now: T0 });
    await send(T0);
    await store.usage.settle({ call: record(subject(), 1), now: T0 });
    await refuses(send(T0), 'plan_quota_used_up');
    await send(nextMonth(T0));
  }),
};
