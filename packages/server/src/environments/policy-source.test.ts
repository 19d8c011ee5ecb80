import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createManualClock } from '../../test/support/manual-clock.ts';
import { systemClock } from '../base/clock.ts';
import { silentLogger } from '../base/log.ts';
import type { NetworkPolicy } from '../egress/gateway.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import { createPolicySource } from './policy-source.ts';

const tenantId = 'default';
const limited = (...hosts: string[]) => ({ type: 'limited', allowed_hosts: hosts });

test('of the network the newest word holds: of the environment, of the agent, and the copy when there is none', async () => {
  await using stack = new AsyncDisposableStack();
  const store = await openSqliteStore({ file: ':memory:', clock: systemClock });
  stack.defer(() => store.close());
  const clock = createManualClock();
  const source = createPolicySource({ store, clock, log: silentLogger, pollMs: 1000 });
  await source.start();
  stack.defer(() => source.stop());
  await store.environments.create({ id: 'env_1', tenantId, definition: { config: { networking: limited('a.example') } }, now: 1 });
  await store.agents.create({ id: 'agt_1', tenantId, definition: {}, now: 1 });
  const told: (readonly NetworkPolicy[])[] = [];
  const hosts = () => told.at(-1)?.map(({ allowedHosts }) => allowedHosts.join());
  const subject = { environmentId: 'env_1', agentId: 'agt_1' };
  const snapshot = { allowedHosts: ['copy.example'] };
  const leave = await source.follow({ tenantId, subject, snapshot, apply: (policies) => told.push(policies) });
  assert.deepEqual([told.length, hosts()], [1, ['a.example']]);
  await source.refresh();
  assert.equal(told.length, 1, 'what has not changed is not told');

  await store.environments.update({ tenantId, id: 'env_1', definition: { config: { networking: { type: 'none' } } }, now: 2 });
  await source.refresh();
  assert.deepEqual([told.length, hosts()], [2, ['']]);
  // Made by another server: the poll finds it.
  await store.agents.addVersion({ tenantId, id: 'agt_1', definition: { networking: limited('b.example') }, now: 3 });
  clock.advance(1000);
  await source.refresh();
  assert.deepEqual([told.length, hosts()], [3, ['', 'b.example']]);
  await store.environments.remove({ tenantId, id: 'env_1' });
  await source.refresh();
  assert.deepEqual(hosts(), ['copy.example', 'b.example']);
  leave();
  await store.agents.addVersion({ tenantId, id: 'agt_1', definition: {}, now: 4 });
  await source.refresh();
  assert.equal(told.length, 4);
});

test('a policy that cannot be read keeps a sandbox from starting, and changes nothing for one that runs', async () => {
  let isBroken = false;
  const find = async () => {
    if (isBroken) throw new Error('no database');
    return undefined;
  };
  // As: of the store nothing else is used.
  const store = { environments: { find }, agents: { find } } as unknown as Parameters<typeof createPolicySource>[0]['store'];
  const source = createPolicySource({ store, clock: createManualClock(), log: silentLogger, pollMs: 1000 });
  const told: unknown[] = [];
  const follower = () => ({
    tenantId,
    subject: { environmentId: 'env_1', agentId: 'agt_1' },
    snapshot: { allowedHosts: ['copy.example'] },
    apply: (policies: unknown) => void told.push(policies),
  });
  await source.follow(follower());
  isBroken = true;
  await source.refresh();
  assert.deepEqual(told, [[{ allowedHosts: ['copy.example'] }]]);
  await assert.rejects(source.follow(follower()), /no database/);
  await source.stop();
});
