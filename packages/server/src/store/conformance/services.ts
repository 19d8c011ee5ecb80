import assert from 'node:assert/strict';
import { newId } from '../../base/ids.ts';
import type { ServiceRow, Store } from '../store.ts';
import { type Laws, law, readPages, refuses, T0, TENANT } from './kit.ts';

const HOST = 'host-one';
const PORTS = { first: 19_000, last: 19_003 };

const create = (store: Store, more: { id?: string; tenantId?: string; hostId?: string; max?: number } = {}): Promise<ServiceRow> =>
  store.services.create({
    tenantId: TENANT,
    id: newId('service'),
    hostId: HOST,
    name: 'one',
    spec: { image: 'x' },
    metadata: {},
    ports: PORTS,
    max: 10,
    now: T0,
    ...more,
  });
const want = (store: Store, row: ServiceRow, desired: ServiceRow['desired'], isNewStart = false) =>
  store.services.want({ tenantId: row.tenantId, id: row.id, desired, isNewStart, event: { type: `${desired}_wanted` }, now: T0 + 1 });
const key = ({ tenantId, id }: ServiceRow) => ({ tenantId, id });

export const serviceLaws: Laws = {
  'no two services of a host have a port, however many come at once': law(async (store) => {
    const made = await Promise.allSettled(Array.from({ length: 7 }, () => create(store)));
    const ports = made.flatMap((one) => (one.status === 'fulfilled' ? [one.value.port] : [])).sort((a, b) => a - b);
    assert.deepEqual(ports, [19_000, 19_001, 19_002, 19_003]);
    await refuses(create(store), 'service_ports_exhausted');
    assert.equal((await store.services.listOnHost({ hostId: HOST })).length, 4, 'a refused one leaves nothing');
    assert.equal((await create(store, { hostId: 'host-two' })).port, 19_000, 'another host has ports of its own');
  }),

  'a port is free again when its service is gone, or has moved': law(async (store) => {
    const [one, two] = [await create(store), await create(store)];
    const moved = await store.services.movePort({ ...key(one), ports: PORTS, avoid: [19_002], now: T0 });
    assert.deepEqual([one.port, two.port, moved.port], [19_000, 19_001, 19_003]);
    assert.equal((await create(store)).port, 19_000);
    await want(store, two, 'deleted');
    await store.services.purge(key(two));
    await store.services.purge(key(two));
    assert.equal(await store.services.find(key(two)), undefined);
    assert.equal((await create(store)).port, 19_001);
  }),

  'a service is made once, and a tenant has only so many': law(async (store) => {
    const one = await create(store);
    assert.deepEqual(await create(store, { id: one.id }), one);
    await refuses(create(store, { max: 1 }), 'service_limit_reached');
    await create(store, { max: 1, tenantId: 'tnt_other' });
    const made = await Promise.allSettled(Array.from({ length: 4 }, () => create(store, { max: 2, hostId: 'host-two' })));
    assert.equal(made.filter(({ status }) => status === 'fulfilled').length, 1, 'also when several come at once');
  }),

  'what is wanted is written once, and a wish for a new start forgets the restarts': law(async (store) => {
    const one = await create(store);
    assert.deepEqual([one.desired, one.state, one.generation, one.startedGeneration], ['running', 'pending', 1, 0]);
    assert.equal((await want(store, one, 'running')).revision, one.revision, 'it is wanted already');
    const failed = await store.services.record({
      ...key(one),
      revision: one.revision,
      changes: { state: 'failed', reason: 'why', restarts: [1, 2], startedGeneration: 1 },
      now: T0,
    });
    assert.deepEqual([failed?.state, failed?.restarts], ['failed', [1, 2]]);
    const again = await want(store, one, 'running');
    assert.deepEqual([again.state, again.generation, again.restarts, again.reason], ['pending', 2, [], null]);
    assert.equal((await want(store, one, 'running', true)).generation, 3);
    assert.equal((await want(store, one, 'stopped')).generation, 3);
    assert.equal((await want(store, one, 'running')).generation, 4);
    await want(store, one, 'deleted');
    assert.equal((await want(store, one, 'deleted')).desired, 'deleted');
    await refuses(want(store, one, 'running'), 'service_deleting');
    await refuses(want(store, { ...one, tenantId: 'tnt_other' }, 'stopped'), 'service_not_found');
  }),

  'what was seen is only written over what was seen': law(async (store) => {
    const one = await create(store);
    const changes = { state: 'starting', incarnation: 'inc_one' } as const;
    const input = { ...key(one), revision: one.revision, changes, event: { type: 'starting' }, now: T0 };
    const [first, second] = await Promise.all([store.services.record(input), store.services.record(input)]);
    assert.equal([first, second].filter((row) => row !== undefined).length, 1);
    const { state, incarnation, revision } = (await store.services.find(key(one))) ?? one;
    assert.deepEqual([state, incarnation, revision], ['starting', 'inc_one', one.revision + 1]);
  }),

  'events are listed in pages, and belong to a tenant': law(async (store) => {
    const one = await create(store);
    for (const desired of ['stopped', 'running', 'stopped'] as const) await want(store, one, desired);
    const pages = await readPages((paging) => store.services.listEvents({ ...key(one), ...paging, order: 'asc' }), 3);
    const types = pages.flat().map(({ seq, type }) => `${seq} ${type}`);
    assert.deepEqual(types, ['1 created', '2 stopped_wanted', '3 running_wanted', '4 stopped_wanted']);
    const others = await store.services.listEvents({ tenantId: 'tnt_other', id: one.id, limit: 3, order: 'asc' });
    assert.deepEqual(others.data, []);
  }),

  'what a program tells is kept, and found by its id alone': law(async (store) => {
    const one = await create(store);
    await store.services.report({ ...key(one), reported: { status: 'busy' }, now: T0 + 5 });
    assert.deepEqual((await store.services.findById({ id: one.id }))?.reported, { status: 'busy', at: T0 + 5 });
    assert.equal(await store.services.findById({ id: 'svc_0' }), undefined);
    assert.equal(await store.services.find({ tenantId: 'tnt_other', id: one.id }), undefined);
    assert.deepEqual((await store.services.list({ tenantId: 'tnt_other', limit: 5, order: 'asc' })).data, []);
    assert.equal((await store.services.list({ tenantId: TENANT, limit: 5, order: 'asc' })).data.length, 1);
  }),
};
