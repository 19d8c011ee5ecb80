import assert from 'node:assert/strict';
import { test } from 'node:test';
import { skipWithoutPostgres, startPostgresStores } from '../../test/support/postgres-stores.ts';
import { addBudget, openAccounts } from '../../test/support/spending-bench.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { newId } from '../base/ids.ts';
import type { AskedCall } from '../core/model-accounts.ts';

const USAGE = { inputTokens: 20, outputTokens: 10, cacheReadTokens: 0, cacheCreationTokens: 0 };
const TRAFFIC = { requestBytes: 40, answerBytes: 10, isStream: false, isCounted: true };

function asked(): AskedCall {
  const owner = { tenantId: 'default', agentId: 'agt_1', sessionId: 'ses_1', turnId: null };
  return {
    ...owner,
    id: newId('request'),
    provider: 'anthropic',
    model: 'x',
    requestBytes: 40,
    maxOutputTokens: 60,
    startedAt: Date.now(),
  };
}

test('calls of two servers at once never come to more than a budget', { timeout: 120_000, skip: skipWithoutPostgres }, async () => {
  await using postgres = await startPostgresStores();
  const url = await postgres.createDatabase();
  const stores = [await postgres.open(url), await postgres.open(url)];
  const [store] = stores;
  assert.ok(store !== undefined);
  const servers = stores.map((own) => openAccounts(own).accounts);
  await Promise.all(servers.map((server) => server.start()));
  // Each call reserves a hundred and comes to thirty.
  const whole = await addBudget(store, 730);
  const agent = await addBudget(store, 900, { scope: 'agent', subjectId: 'agt_1' });
  // The one that was made elsewhere is known after a poll.
  await waitFor(() => servers.every((server) => server.needsAdmission('default')), { timeoutMs: 20_000, what: 'both to know the budget' });
  const calls = Array.from({ length: 50 }, asked);
  const admitted: AskedCall[] = [];
  await Promise.all(
    calls.map(async (call, index) => {
      const { type } = (await servers[index % 2]?.admit(call, undefined, new AbortController().signal)) ?? assert.fail();
      if (type === 'admitted') admitted.push(call);
    }),
  );
  assert.equal(admitted.length, 7);
  const shown = async (id: string) => {
    const row = await store.budgets.find({ tenantId: 'default', id, now: Date.now() });
    return [row?.spentMicros, row?.reservedMicros];
  };
  assert.deepEqual(await Promise.all([shown(whole.id), shown(agent.id)]), [
    [0, 700],
    [0, 700],
  ]);
  for (const call of admitted) {
    const server = servers[calls.indexOf(call) % 2];
    server?.settle({ ...call, answeredModel: null, usage: USAGE, traffic: TRAFFIC, outcome: 'succeeded', endedAt: Date.now() });
  }
  await Promise.all(servers.map((server) => server.stop()));
  assert.deepEqual(await Promise.all([shown(whole.id), shown(agent.id)]), [
    [210, 0],
    [210, 0],
  ]);
});
