import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createClient, type SessionEvent } from '@cloister/api';
import { type FakeModel, startFakeModel } from '@cloister/fake-model';
import { engineMissing } from '../support/engine.ts';
import { ADMIN_KEY, type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

const PROVIDER_KEY = 'sk-real-provider-key-that-must-stay-outside';
const MODEL = 'claude-sonnet-4-5';
const TURN_MS = 60_000;
/** A fraction of what the first call of an agent may come to. */
const SMALL = 0.000001;

interface Ended {
  readonly outcome: string;
  readonly error: { readonly code: string } | null;
}

describe('a turn whose budget is reached', { timeout: 600_000 }, () => {
  let skip: string | false = false;
  let model: FakeModel;
  let server: ServerProcess;
  before(async () => {
    skip = await engineMissing();
    if (skip !== false) return;
    model = await startFakeModel({ requireKey: PROVIDER_KEY });
    server = await startServerProcess({
      env: { CLOISTER_HARNESS: 'builtin', CLOISTER_MODEL: MODEL, ANTHROPIC_BASE_URL: model.url, ANTHROPIC_API_KEY: PROVIDER_KEY },
      readyMs: 300_000,
    });
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    await model?.close();
  });

  const test = (name: string, run: () => Promise<void>): void => {
    void it(name, async (t) => {
      if (skip !== false) return t.skip(skip);
      await run();
    });
  };
  const api = () => createClient({ url: server.url, key: ADMIN_KEY });
  const events = async (id: string): Promise<readonly SessionEvent[]> => (await api().events.list(id, { limit: 500 })).data;
  const ended = (id: string, count = 1): Promise<Ended> =>
    waitFor(
      // The log's own schema has more fields than are looked at here.
      async () => (await events(id)).filter(({ type }) => type === 'turn.ended')[count - 1] as unknown as Ended | undefined,
      { timeoutMs: TURN_MS, what: `the end of turn ${count}` },
    );
  /** A session with a budget that is too small for its first message, which was sent. */
  const asking = async () => {
    const client = api();
    const environment = (await client.environments.list()).data[0]?.id ?? assert.fail();
    const agent = (await client.agents.list({ order: 'asc' })).data[0]?.id ?? assert.fail();
    const { id } = await client.sessions.create({ agent, environment_id: environment });
    const budget = await client.budgets.create({ scope: 'session', subject_id: id, limit: SMALL });
    await client.events.send(id, [{ type: 'user.message', content: [{ type: 'text', text: '[[usage 100 10]]' }] }]);
    const question = await waitFor(
      async () => (await client.approvals.list({ session_id: id })).data.find(({ state }) => state === 'pending'),
      { timeoutMs: TURN_MS, what: 'the question' },
    );
    return { id, budget, question };
  };

  test('asks, and goes on in the same sandbox once it is raised', async () => {
    const { id, budget, question } = await asking();
    const asked = (await events(id)).find((event) => event.type === 'session.status_idle');
    assert.deepEqual(asked?.type === 'session.status_idle' && asked.stop_reason, { type: 'requires_action', event_ids: [question.id] });
    await api().approvals.answer(question.id, { decision: 'allow', raise: 5 });
    assert.deepEqual((await ended(id)).outcome, 'completed');
    const settled = await waitFor(
      async () => {
        const shown = await api().budgets.get(budget.id);
        return shown.reserved === 0 && shown.spent > 0 ? shown : undefined;
      },
      { timeoutMs: TURN_MS, what: 'the call to be settled' },
    );
    const { total, currency } = await api().usage.report({ session_id: id });
    assert.deepEqual([total.cost_micros, currency, total.estimated_calls], [Math.round(settled.spent * 1_000_000), 'USD', 0]);
  });

  test('ends with a code of its own when it is not raised', async () => {
    const { id, question } = await asking();
    await api().approvals.answer(question.id, { decision: 'deny' });
    const { outcome, error } = await ended(id);
    assert.deepEqual([outcome, error?.code], ['failed', 'budget_reached']);
    assert.equal((await api().usage.report({ session_id: id })).total.calls, 0);
  });

  test('is asked about over a crash, and a raise that comes meanwhile counts once', async () => {
    const { id, budget, question } = await asking();
    await server.kill('SIGKILL');
    await server.start();
    assert.equal((await api().approvals.get(question.id)).state, 'pending');
    await api().approvals.answer(question.id, { decision: 'allow', raise: 5 });
    assert.deepEqual((await ended(id)).outcome, 'completed');
    assert.equal((await api().budgets.get(budget.id)).raised, 5);
  });

  test('waits without a sandbox when nobody answers for long, and both answers find it', async () => {
    await server.kill('SIGTERM');
    await server.start({ BUDGET_HOLD_SECONDS: '1' });
    const [raised, stopped] = [await asking(), await asking()];
    for (const { id } of [raised, stopped])
      await waitFor(async () => (await api().sessions.get(id)).sandbox === null, { timeoutMs: TURN_MS, what: 'the sandbox to go' });
    await api().approvals.answer(stopped.question.id, { decision: 'deny' });
    await api().budgets.raise(raised.budget.id, 5);
    const end = await ended(stopped.id);
    assert.deepEqual([end.outcome, end.error?.code], ['failed', 'budget_reached']);
    assert.equal((await ended(raised.id)).outcome, 'completed');
  });
});
