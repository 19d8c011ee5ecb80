import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { budgetSchema, createClient, tenantPlanSchema, usageReportSchema } from '@cloister/api';
import { newId } from '../../src/base/ids.ts';
import type { CallRecord, Store } from '../../src/store/store.ts';
import { runCli } from '../support/run-cli.ts';
import { message, OTHER_KEY, startTestServer, type TestServer, type Wire } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const DAY = Date.parse('2026-03-01T12:00:00Z');

describe('usage, budgets and plans', { timeout: 120_000 }, () => {
  let server: TestServer;
  let store: Store;
  before(async () => {
    server = await startTestServer({
      overrides: {
        wrapStore(opened) {
          store = opened;
          return opened;
        },
      },
    });
  });
  after(() => server?.[Symbol.asyncDispose]());

  const record = (more: Partial<CallRecord>): CallRecord => ({
    id: newId('request'),
    tenantId: 'default',
    agentId: 'agt_one',
    sessionId: 'ses_one',
    turnId: null,
    provider: 'anthropic',
    model: 'claude-x',
    usage: { inputTokens: 100, outputTokens: 10, cacheReadTokens: 5, cacheCreationTokens: 1 },
    costMicros: 1_500_001,
    priceVersion: 'test',
    isEstimated: false,
    outcome: 'succeeded',
    startedAt: DAY,
    endedAt: DAY + 20,
    ...more,
  });

  it('sums up exactly, by what is asked for, and shows a tenant its own', async () => {
    const evil = '=HYPERLINK("http://evil","x"),y';
    const calls = [
      record({}),
      record({ model: evil, costMicros: 2 }),
      record({ startedAt: DAY + 86_400_000, endedAt: DAY + 86_400_020, isEstimated: true }),
      record({ tenantId: 'other', costMicros: 7 }),
    ];
    for (const call of calls) await store.usage.settle({ call, now: DAY });
    const { status, body } = await server.json('GET', '/v1/usage?tenant_id=default&group_by=day,model&limit=2');
    assert.equal(status, 200, JSON.stringify(body));
    const report = usageReportSchema.parse(body);
    assert.deepEqual(
      report.data.map(({ day, model, cost, calls: count }) => [day, model, cost, count]),
      [
        ['2026-03-01', evil, '0.000002', 1],
        ['2026-03-01', 'claude-x', '1.500001', 1],
      ],
    );
    assert.deepEqual(
      [report.total.cost_micros, report.total.calls, report.total.estimated_calls, report.currency],
      [3_000_004, 3, 1, 'USD'],
    );
    const second = await server.json('GET', `/v1/usage?tenant_id=default&group_by=day,model&limit=2&page=${report.next_page}`);
    assert.deepEqual([second.body.data[0].day, second.body.next_page], ['2026-03-02', null]);
    const all = (await server.json('GET', '/v1/usage?group_by=tenant')).body as Wire;
    assert.deepEqual(
      all.data.map((row: Wire) => [row.tenant_id, row.cost_micros]),
      [
        ['default', 3_000_004],
        ['other', 7],
      ],
    );
    const own = (await server.json('GET', '/v1/usage', { key: OTHER_KEY })).body;
    assert.deepEqual([own.total.cost_micros, own.data.length], [7, 1]);
    const foreign = (await server.json('GET', '/v1/usage?tenant_id=default', { key: OTHER_KEY })).body;
    assert.deepEqual([foreign.total.calls, foreign.data], [0, []]);
    const days = (await server.json('GET', '/v1/usage?tenant_id=default&from=2026-03-02&to=2026-03-02')).body;
    assert.equal(days.total.calls, 1);
    const list = (await server.json('GET', '/v1/usage/calls?tenant_id=default&model=claude-x')).body;
    assert.deepEqual([list.data.length, list.data[0].duration_ms, list.data[0].estimated], [2, 20, true]);
  });

  it('answers CSV that no spreadsheet takes for a formula', async () => {
    const byAccept = await server.request('GET', '/v1/usage?tenant_id=default&group_by=model', { headers: { accept: 'text/csv' } });
    assert.match(byAccept.headers.get('content-type') ?? '', /^text\/csv/);
    const text = await byAccept.text();
    assert.equal(await (await server.request('GET', '/v1/usage?tenant_id=default&group_by=model&format=csv')).text(), text);
    const [head, first, second, end] = text.split('\r\n');
    assert.match(head ?? '', /^day,tenant_id,.*,cost_micros,cost,currency$/);
    assert.equal(first, `,,,,anthropic,"'=HYPERLINK(""http://evil"",""x""),y",1,0,100,10,5,1,2,0.000002,USD`);
    assert.equal(second, ',,,,anthropic,claude-x,2,1,200,20,10,2,3000002,3.000002,USD');
    assert.equal(end, '');
    const metrics = await (await server.request('GET', '/metrics')).text();
    assert.match(metrics, /^cloister_model_calls_unrecorded_total 0$/m);
  });

  it('keeps budgets, raises them once per request, and shows nobody else any', async () => {
    const agent = (await server.json('POST', '/v1/agents', { body: { name: 'Ada', model: 'demo' } })).body.id;
    const body = { scope: 'agent', subject_id: agent, period: 'month', limit: 12.5 };
    const made = await server.json('POST', '/v1/budgets', { body, headers: { 'idempotency-key': 'one' } });
    const budget = budgetSchema.parse(made.body);
    assert.deepEqual([budget.limit, budget.remaining, budget.spent, budget.currency], [12.5, 12.5, 0, 'USD']);
    assert.equal((await server.json('POST', '/v1/budgets', { body, headers: { 'idempotency-key': 'one' } })).body.id, budget.id);
    const raise = () =>
      server.json('POST', `/v1/budgets/${budget.id}/raise`, { body: { amount: 0.000001 }, headers: { 'idempotency-key': 'two' } });
    assert.deepEqual([(await raise()).body.raised, (await raise()).body.remaining], [0.000001, 12.500001]);
    assert.equal((await server.json('POST', `/v1/budgets/${budget.id}`, { body: { limit: 3 } })).body.limit, 3);
    const whole = (await server.json('POST', '/v1/budgets', { body: { scope: 'tenant', limit: 1 } })).body;
    assert.deepEqual([whole.subject_id, whole.spent, whole.remaining, whole.renews_at], ['default', 3.000004, 0, null]);
    assert.deepEqual(
      (await server.json('GET', '/v1/budgets?scope=agent')).body.data.map(({ id }: Wire) => id),
      [budget.id],
    );
    for (const [method, path, init] of [
      ['GET', ''],
      ['DELETE', ''],
      ['POST', '/raise', { body: { amount: 1 } }],
    ] as const) {
      const answer = await server.json(method, `/v1/budgets/${budget.id}${path}`, { ...init, key: OTHER_KEY });
      assert.deepEqual([answer.status, answer.body.error.code], [404, 'budget_not_found']);
    }
    for (const id of [budget.id, whole.id]) assert.equal((await server.json('DELETE', `/v1/budgets/${id}`)).status, 200);
    assert.deepEqual((await server.json('GET', '/v1/budgets')).body.data, []);
    const entries = (await store.audit.list({ tenantId: 'default', limit: 100, order: 'asc' })).data.map(({ action }) => action);
    for (const action of ['budget.created', 'budget.changed', 'budget.removed'] as const) assert.ok(entries.includes(action), action);
  });

  it('takes in nothing more when the storage of a plan is used up', async () => {
    const client = createClient({ url: server.url, key: server.key });
    const session = await server.createSession();
    const agent = (await client.sessions.get(session)).agent.id;
    const [notes, environment] = [await client.memory.createStore({ name: 'notes' }), (await client.environments.list()).data[0]?.id ?? ''];
    const base = (await client.plans.own()).used.storage_bytes;
    const plan = await client.plans.create({ name: 'small disk', limits: { storage_bytes: base + 100_000 } });
    await client.plans.assign('default', plan.id);
    const refused = { status: 403, code: 'plan_limit_reached' };
    const bytes = (size: number) => new Blob([new Uint8Array(size).fill(7)]);
    try {
      const file = await client.uploads.create(bytes(60_000), 'a.bin');
      await assert.rejects(client.uploads.create(bytes(60_000), 'b.bin'), refused);
      await assert.rejects(client.files.write(session, 'b.bin', bytes(60_000)), refused);
      await client.files.write(session, 'a.bin', bytes(40_000));
      assert.ok((await client.plans.own()).used.storage_bytes >= base + 100_000, 'files count when they are written');
      const archive = await (await client.files.download(session)).blob();
      const skill = { files: { 'tidy/SKILL.md': new Blob(['---\nname: tidy\ndescription: Tidies up.\n---\nTidy up.\n']) } };
      for (const attempt of [
        () => client.uploads.create(bytes(1), 'c.bin'),
        () => client.files.write(session, 'c.bin', bytes(1)),
        () => client.files.upload(session, archive, 'copy'),
        () => client.skills.create(skill),
        () => client.memory.create(notes.id, { path: '/a.md', content: 'a' }),
        () => client.sessions.create({ agent, environment_id: environment }),
        () => client.sessions.fork(session),
      ])
        await assert.rejects(attempt, refused, attempt.toString());
      await client.files.remove(session, 'a.bin');
      await client.uploads.remove(file.id);
      await client.skills.create(skill);
      await client.files.upload(session, archive, 'copy');
    } finally {
      await client.plans.assign('default', null);
    }
  });

  it('counts snapshots into the storage of a plan, and keeps files that are written at once within it', async () => {
    const client = createClient({ url: server.url, key: server.key });
    const bytes = (size: number) => new Blob([randomBytes(size)]);
    const sessions = await Promise.all(Array.from({ length: 6 }, () => server.createSession()));
    const [session = ''] = sessions;
    const base = (await client.plans.own()).used.storage_bytes;
    const max = base + 1_900_000;
    const plan = await client.plans.create({ name: 'small disk', limits: { storage_bytes: max } });
    await client.plans.assign('default', plan.id);
    const refused = { status: 403, code: 'plan_limit_reached' };
    try {
      const written = await Promise.allSettled(sessions.map((id) => client.files.write(id, 'a.bin', bytes(500_000))));
      const own = await client.plans.own();
      const count = written.filter(({ status }) => status === 'fulfilled').length;
      assert.equal(count, 3, 'each said how large it is, so the first have their room');
      assert.ok(own.used.storage_bytes <= max, 'no more is there than the plan allows');
      const failures = written.filter((one) => one.status === 'rejected').map(({ reason }) => reason.code);
      assert.deepEqual(new Set(failures), new Set(['plan_limit_reached']));
      await Promise.all(sessions.slice(1).map((id) => client.sessions.remove(id)));
      await client.files.write(session, 'a.bin', bytes(500_000));
      const before = await client.plans.own();
      const snapshot = await client.snapshots.create(session);
      const after = await client.plans.own();
      assert.ok(after.stored.snapshots - before.stored.snapshots >= 500_000, 'a snapshot counts when it is made');
      assert.equal(after.stored.workspaces, before.stored.workspaces);
      const sum = Object.values(after.stored).reduce((all, one) => all + one, 0);
      assert.equal(sum, after.used.storage_bytes);
      await client.snapshots.create(session);
      await assert.rejects(client.snapshots.create(session), refused);
      const { stored } = await client.plans.own();
      const shown = await runCli({ CLOISTER_URL: server.url, CLOISTER_API_KEY: server.key }, ['usage', '--storage', '--json']);
      const total = Object.values(stored).reduce((all, one) => all + one, 0);
      assert.deepEqual(JSON.parse(shown.stdout.toString()), { ...stored, total, limit: max });
      await assert.rejects(client.sessions.fork(session), refused);
      assert.equal((await client.snapshots.list(session)).data.length, 2);
      await client.snapshots.remove(session, snapshot.id);
      await client.snapshots.create(session);
      await client.snapshots.remove(session, (await client.snapshots.list(session)).data[0]?.id ?? '');
      const environment = await client.environments.create({ name: 'keeps turns', config: { type: 'container', snapshots: 'turn' } });
      const keeping = await client.sessions.create({
        agent: (await client.sessions.get(session)).agent.id,
        environment_id: environment.id,
      });
      await client.files.write(keeping.id, 'kept.bin', bytes(100_000));
      const { snapshots: earlier } = (await client.plans.own()).stored;
      const sent = await server.json('POST', `/v1/sessions/${keeping.id}/events?wait=20`, { body: { events: [message()] } });
      assert.equal(sent.body.turn.outcome, 'completed');
      await waitFor(async () => ((await client.plans.own()).stored.snapshots >= earlier + 100_000 ? true : undefined), {
        timeoutMs: 20_000,
        what: 'the copy of the turn to count',
      });
    } finally {
      await client.plans.assign('default', null);
    }
  });

  it('holds a tenant to its plan, and says what is used and when it renews', async () => {
    const limits = { agents: 1, messages_per_day: 1 };
    const plan = (await server.json('POST', '/v1/plans', { body: { name: 'small', limits } })).body;
    assert.deepEqual([plan.limits.agents, plan.limits.sessions], [1, null]);
    assert.equal((await server.json('PUT', '/v1/tenants/nobody/plan', { body: { plan_id: plan.id } })).body.error.code, 'tenant_not_found');
    assert.equal((await server.json('PUT', '/v1/tenants/default/plan', { body: { plan_id: 'pln_0' } })).body.error.code, 'plan_not_found');
    const session = await server.createSession();
    const given = await server.json('PUT', '/v1/tenants/default/plan', { body: { plan_id: plan.id } });
    assert.equal(tenantPlanSchema.parse(given.body).plan?.id, plan.id);
    const refused = await server.json('POST', '/v1/agents', { body: { name: 'Bob', model: 'demo' } });
    assert.deepEqual([refused.status, refused.body.error.code], [403, 'plan_limit_reached']);
    assert.match(refused.body.error.message, /allows 1 of agents, and \d+ are used/);
    const say = () => server.json('POST', `/v1/sessions/${session}/events`, { body: { events: [message()] } });
    assert.equal((await say()).status, 200);
    const late = await say();
    assert.deepEqual([late.status, late.body.error.code], [429, 'plan_quota_used_up']);
    assert.ok(Number(late.headers.get('retry-after')) > 0);
    const own = tenantPlanSchema.parse((await server.json('GET', '/v1/plan')).body);
    assert.deepEqual([own.used.messages_per_day, own.plan?.name], [1, 'small']);
    assert.equal((await server.json('DELETE', `/v1/plans/${plan.id}`)).body.error.code, 'plan_in_use');
    await server.json('PUT', '/v1/tenants/default/plan', { body: { plan_id: null } });
    assert.equal((await say()).status, 200);
    assert.equal((await server.json('DELETE', `/v1/plans/${plan.id}`)).status, 200);
    const other = await server.json('GET', '/v1/plans', { key: OTHER_KEY });
    assert.deepEqual([other.status, other.body.error.code], [403, 'permission_denied']);
    assert.equal((await server.json('GET', '/v1/plan', { key: OTHER_KEY })).body.plan, null);
  });
});
