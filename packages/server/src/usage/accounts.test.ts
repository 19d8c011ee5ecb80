import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ask, openBench, WIRE_NAMES, WIRE_REQUESTS, waitFor } from '../../test/support/egress-bench.ts';
import { addBudget, openAccounts, runTurn } from '../../test/support/spending-bench.ts';
import { waitFor as waitForAnswer } from '../../test/support/wait-for.ts';
import type { Approvals } from '../approvals/approvals.ts';
import { systemClock } from '../base/clock.ts';
import { createBudgets } from '../budgets/budgets.ts';
import type { HeldTurn } from '../core/model-accounts.ts';
import type { BudgetRow, Store } from '../store/store.ts';
import type { Accounts } from './accounts.ts';

const SUBJECT = { environmentId: 'env_1', agentId: 'agt_1' };

interface Parts {
  accounts?: Accounts;
  approvals?: Approvals;
}

/** The gateway with accounts, on a store that has the turn of `turn`, if any. */
async function openSpending(more: { readonly holdMs?: number; readonly turn?: HeldTurn; readonly maxModelCalls?: number } = {}) {
  const parts: Parts = {};
  const bench = await openBench({
    subject: SUBJECT,
    ...(more.turn === undefined ? {} : { turn: more.turn }),
    limits: { maxModelCalls: more.maxModelCalls ?? 16 },
    accountsOf(store) {
      Object.assign(parts, openAccounts(store, { settings: more.holdMs === undefined ? {} : { holdMs: more.holdMs } }));
      return parts.accounts ?? assert.fail();
    },
  });
  const { accounts, approvals } = parts;
  assert.ok(accounts !== undefined && approvals !== undefined);
  return { bench, accounts, approvals };
}

async function shown(store: Store, { id }: BudgetRow) {
  const row = (await store.budgets.find({ tenantId: 'default', id, now: Date.now() })) ?? assert.fail('there is a budget');
  return { spent: row.spentMicros, reserved: row.reservedMicros };
}

async function recorded(store: Store, count: number) {
  return waitForAnswer(
    async () => {
      const { data } = await store.usage.calls({ tenantId: 'default', limit: 100, order: 'asc' });
      return data.length >= count ? data : undefined;
    },
    { timeoutMs: 20_000, what: `${count} records` },
  );
}

for (const wire of WIRE_NAMES)
  test(`${wire}: what a call came to is on record, by agent, session and model`, async () => {
    const { bench } = await openSpending();
    await using _ = bench;
    await (await ask(bench.socketPath, WIRE_REQUESTS[wire]('[[usage 1200 34 200 0]]'))).text();
    const [call] = await recorded(bench.store, 1);
    assert.ok(call !== undefined);
    assert.deepEqual([call.agentId, call.sessionId, call.outcome, call.priceVersion], ['agt_1', 'ses_1', 'succeeded', 'fallback']);
    assert.deepEqual([call.usage.outputTokens, call.isEstimated, call.costMicros > 0], [34, true, true]);
    assert.match(call.model, /^(claude|gpt|gemini)-x$/);
    assert.equal(call.id, bench.onlyEnd().callId);
  });

for (const wire of WIRE_NAMES)
  test(`${wire}: a call under a budget is bounded, reserved and settled`, async () => {
    const { bench, accounts } = await openSpending();
    await using _ = bench;
    const budget = await addBudget(bench.store, 1_000_000);
    await accounts.budgetsChanged();
    const reply = await ask(bench.socketPath, WIRE_REQUESTS[wire]('[[slow 3 60]] [[usage 70 7]]'));
    assert.equal(reply.status, 200);
    assert.ok((await shown(bench.store, budget)).reserved > 100, 'while the model speaks');
    assert.match(await reply.text(), /chunk2/);
    const [call] = await recorded(bench.store, 1);
    assert.equal(call?.costMicros, 77);
    assert.deepEqual(await shown(bench.store, budget), { spent: 77, reserved: 0 });
    assert.match(
      JSON.stringify(bench.model.requests().at(-1)?.body),
      /"(max_tokens|max_completion_tokens|max_output_tokens|maxOutputTokens)":100/,
    );
  });

test('50 calls at once never come to more than the budget and one reservation', { timeout: 60_000 }, async () => {
  const { bench, accounts } = await openSpending({ maxModelCalls: 64 });
  await using _ = bench;
  const request = WIRE_REQUESTS.anthropic('[[slow 2 30]] [[usage 60 40]]');
  // Room for five: 100 tokens of output, and a token for each byte of input.
  const needed = Buffer.byteLength(JSON.stringify(request.body)) + 100;
  const budget = await addBudget(bench.store, needed * 5 + 10);
  await accounts.budgetsChanged();
  let most = 0;
  const statuses: number[] = [];
  const call = async () => {
    const reply = await ask(bench.socketPath, request);
    await reply.text();
    statuses.push(reply.status);
    const { spent, reserved } = await shown(bench.store, budget);
    most = Math.max(most, spent + reserved);
  };
  await Promise.all(Array.from({ length: 50 }, call));
  assert.ok(statuses.includes(200) && statuses.includes(403), String(statuses));
  const made = statuses.filter((status) => status === 200).length;
  await recorded(bench.store, made);
  assert.equal(bench.model.requests().length, made, 'what was refused did not reach the provider');
  const { spent, reserved } = await shown(bench.store, budget);
  assert.deepEqual([spent, reserved], [made * 100, 0]);
  assert.ok(most <= needed * 5 + 10, `${most} at once`);
  assert.equal((await recorded(bench.store, made)).length, made, 'a refused call is none');
});

describe('a budget without room', { timeout: 60_000 }, () => {
  const open = async (holdMs = 60_000) => {
    const turn = { id: '', parked: 0 };
    const held: HeldTurn = {
      get id() {
        return turn.id;
      },
      park: () => void turn.parked++,
    };
    const { bench, accounts, approvals } = await openSpending({ holdMs, turn: held });
    const { turn: row } = await runTurn(bench.store);
    turn.id = row.id;
    const budget = await addBudget(bench.store, 10, { scope: 'session', subjectId: 'ses_1' });
    await accounts.budgetsChanged();
    const reply = ask(bench.socketPath, WIRE_REQUESTS.anthropic('[[usage 60 40]]'));
    reply.catch(() => undefined);
    const question = await waitForAnswer(
      async () => (await bench.store.approvals.list({ tenantId: 'default', states: ['pending'], limit: 10, order: 'asc' })).data[0],
      { timeoutMs: 20_000, what: 'the question' },
    );
    return { bench, approvals, turn, budget, reply, question };
  };
  const answer = (approvals: Approvals, id: string, more: { raiseMicros?: number; decision?: 'deny' }) =>
    approvals.answer({ tenantId: 'default', id, actor: 'key:key_one', decision: 'allow', ...more });

  test('is asked about, and the call goes on once it is raised', async () => {
    const { bench, approvals, budget, reply, question } = await open();
    await using _ = bench;
    assert.deepEqual([question.kind, question.input.budget_id, question.input.limit_micros], ['budget', budget.id, 10]);
    assert.equal((await bench.store.sessions.find({ tenantId: 'default', id: 'ses_1' }))?.state, 'waiting');
    assert.equal(bench.model.requests().length, 0);
    await answer(approvals, question.id, { raiseMicros: 5000 });
    assert.equal((await reply).status, 200);
    await (await reply).text();
    await recorded(bench.store, 1);
    assert.deepEqual(await shown(bench.store, budget), { spent: 100, reserved: 0 });
    assert.equal((await bench.store.sessions.find({ tenantId: 'default', id: 'ses_1' }))?.state, 'running');
  });

  test('ends the call when it is not raised, and is not asked about again', async () => {
    const { bench, approvals, reply, question } = await open();
    await using _ = bench;
    await answer(approvals, question.id, { decision: 'deny' });
    assert.equal((await reply).status, 403);
    assert.match(await (await reply).text(), /budget of the session is reached/);
    const end = bench.onlyEnd();
    assert.ok(typeof end.failure === 'object' && end.failure.code === 'budget_reached');
    const again = await ask(bench.socketPath, WIRE_REQUESTS.anthropic('once more'));
    assert.equal(again.status, 403);
    const { data } = await bench.store.approvals.list({ tenantId: 'default', limit: 10, order: 'asc' });
    assert.equal(data.length, 1);
  });

  test('lets whoever waits for it go on when it is raised by itself', async () => {
    const { bench, approvals, budget, reply } = await open();
    await using _ = bench;
    const budgets = createBudgets({
      store: bench.store,
      clock: systemClock,
      audit: { record: async () => undefined },
      approvals,
      currency: 'USD',
      onChanged: async () => undefined,
    });
    assert.equal((await budgets.raise('default', budget.id, 1)).raised, 1);
    assert.equal((await reply).status, 200);
    await (await reply).text();
    await recorded(bench.store, 1);
    assert.deepEqual(await shown(bench.store, budget), { spent: 100, reserved: 0 });
  });

  test('gives the sandbox up when nobody answers for long, and the answer is found by whoever goes on', async () => {
    const { bench, approvals, turn, budget, reply, question } = await open(20);
    await using _ = bench;
    await waitFor('the turn to be parked', () => turn.parked === 1);
    bench.connection.abortModelCalls();
    await assert.rejects(reply);
    await waitFor('the end of the held call', () => bench.ends.length === 1);
    await answer(approvals, question.id, { raiseMicros: 5000 });
    await bench.reopen();
    const again = await ask(bench.socketPath, WIRE_REQUESTS.anthropic('[[usage 60 40]]'));
    assert.equal(again.status, 200);
    await again.text();
    await waitForAnswer(async () => (await shown(bench.store, budget)).reserved === 0, { timeoutMs: 20_000, what: 'the end' });
    assert.equal((await shown(bench.store, budget)).spent, 100);
    assert.equal((await recorded(bench.store, 1)).length, 1, 'the call that was given up is none');
    assert.equal((await bench.store.budgets.find({ tenantId: 'default', id: budget.id, now: Date.now() }))?.raisedMicros, 5000, 'once');
  });
});
