import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type AgentCreate, type Approval, type Client, ClientError, createClient, type SessionEvent } from '@cloister/api';
import { OTHER_KEY, startTestServer, type TestServer } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const MS = 15_000;

describe('approvals', { timeout: 120_000 }, () => {
  let server: TestServer;
  let client: Client;

  before(async () => {
    server = await startTestServer({ env: { SWEEP_SECONDS: '1' } });
    client = createClient({ url: server.url, key: server.key });
  });
  after(() => server.stop());

  async function newSession(rules: AgentCreate['permission_rules']): Promise<string> {
    const environment = (await client.environments.list()).data[0]?.id ?? '';
    const agent = await client.agents.create({ name: 'careful', model: 'demo', permission_rules: rules });
    return (await client.sessions.create({ agent: agent.id, environment_id: environment })).id;
  }

  const call = (sessionId: string, tool: string, input: object, wait?: number) =>
    client.events.send(
      sessionId,
      [{ type: 'user.message', content: `[[tool ${tool} ${JSON.stringify(input)}]]` }],
      wait === undefined ? {} : { wait },
    );

  async function pendingOf(sessionId: string): Promise<Approval> {
    const list = () => client.approvals.list({ session_id: sessionId, 'states[]': ['pending'] });
    await waitFor(async () => (await list()).data.length > 0, { timeoutMs: MS, what: 'the question' });
    return (await list()).data[0] ?? assert.fail('there is a question');
  }

  const eventsOf = async (sessionId: string) => (await client.events.list(sessionId, { limit: 1000 })).data;
  const results = (events: readonly SessionEvent[]) =>
    events.flatMap((event) => (event.type === 'agent.tool_result' ? [event.is_error ? 'refused' : 'ran'] : []));
  const ended = (sessionId: string) =>
    waitFor(
      async () =>
        (await eventsOf(sessionId)).at(-1)?.type === 'session.status_idle' &&
        (await eventsOf(sessionId)).some(({ type }) => type === 'turn.ended'),
      {
        timeoutMs: MS,
        what: 'the end of the turn',
      },
    );
  const refused = async (promise: Promise<unknown>): Promise<ClientError> => {
    const error = await promise.then(
      () => assert.fail('it is refused'),
      (one: unknown) => one,
    );
    return error instanceof ClientError ? error : assert.fail(String(error));
  };

  it('rules let through, ask and deny by the arguments', async () => {
    const id = await newSession([
      { tool: 'bash', policy: 'always_allow', when: { command: { regex: 'git (status|log)' } } },
      { tool: 'bash', policy: 'ask' },
      { tool: '*', policy: 'deny', when: { command: { glob: '*rm -rf*' } } },
    ]);
    await call(id, 'bash', { command: 'git status' }, 10);
    await call(id, 'bash', { command: 'rm -rf /' }, 10);
    assert.deepEqual(results(await eventsOf(id)), ['ran', 'refused']);
    const { turn } = await call(id, 'bash', { command: 'git push' }, 10);
    assert.equal(turn?.state, 'waiting_approval');
    const asked = await pendingOf(id);
    assert.deepEqual([asked.kind, asked.state, asked.tool?.name, asked.tool?.input], ['tool', 'pending', 'bash', { command: 'git push' }]);
    assert.match(asked.tool?.rule ?? '', /"policy":"ask"/);
    assert.match(asked.tool?.input_hash ?? '', /^[0-9a-f]{64}$/);
    const answered = await client.approvals.answer(asked.id, { decision: 'deny', message: 'not on a Friday' });
    assert.deepEqual(
      [answered.state, answered.answer?.message, answered.answer?.by.startsWith('key:')],
      ['denied', 'not on a Friday', true],
    );
    await ended(id);
    const confirmation = (await eventsOf(id)).find((event) => event.type === 'user.tool_confirmation');
    assert.equal(confirmation?.type === 'user.tool_confirmation' && confirmation.tool_use_id, asked.id);
  });

  it('an answer for the session covers what its rule asks about, and nothing else', async () => {
    const id = await newSession([
      { tool: 'bash', policy: 'ask', when: { command: { glob: 'git *' } } },
      { tool: 'bash', policy: 'ask' },
      { tool: 'bash', policy: 'deny', when: { command: { glob: 'git push*' } } },
    ]);
    await call(id, 'bash', { command: 'git status' });
    const first = await pendingOf(id);
    await client.approvals.answer(first.id, { decision: 'allow', scope: 'session' });
    await ended(id);
    await call(id, 'bash', { command: 'git log' }, 10);
    await call(id, 'bash', { command: 'git push' }, 10);
    assert.deepEqual(results(await eventsOf(id)), ['ran', 'ran', 'refused'], 'a rule that denies goes before any answer');
    const { turn } = await call(id, 'bash', { command: 'ls' }, 10);
    assert.equal(turn?.state, 'waiting_approval', 'another rule asks by itself');
    await client.approvals.answer((await pendingOf(id)).id, { decision: 'allow' });
  });

  it('of twenty answers at once one wins, and the others are told who and when', async () => {
    const id = await newSession([{ tool: 'bash', policy: 'ask' }]);
    await call(id, 'bash', { command: 'ls' });
    const { id: approvalId } = await pendingOf(id);
    const answers = await Promise.allSettled(
      Array.from({ length: 20 }, (_, index) =>
        index % 2 === 0
          ? client.approvals.answer(approvalId, { decision: 'allow' })
          : client.events.send(id, [{ type: 'user.tool_confirmation', tool_use_id: approvalId, result: 'allow' }]),
      ),
    );
    assert.equal(answers.filter(({ status }) => status === 'fulfilled').length, 1);
    await ended(id);
    assert.deepEqual(results(await eventsOf(id)), ['ran']);
    const late = await refused(client.approvals.answer(approvalId, { decision: 'deny' }));
    assert.equal(late.code, 'approval_answered');
    assert.match(late.message, /^key:\S+ allowed it at \d{4}-/);
  });

  it('a request that is repeated under its key answers the same', async () => {
    const id = await newSession([{ tool: 'bash', policy: 'ask' }]);
    await call(id, 'bash', { command: 'ls' });
    const { id: approvalId } = await pendingOf(id);
    const send = () =>
      server.json('POST', `/v1/approvals/${approvalId}/answer`, {
        body: { decision: 'allow' },
        headers: { 'idempotency-key': approvalId },
      });
    const [first, second] = [await send(), await send()];
    assert.deepEqual([first.status, second.status, second.body], [200, 200, first.body]);
  });

  it('another tenant neither sees nor answers', async () => {
    const id = await newSession([{ tool: 'bash', policy: 'ask' }]);
    await call(id, 'bash', { command: 'ls' });
    const { id: approvalId } = await pendingOf(id);
    const other = createClient({ url: server.url, key: OTHER_KEY });
    assert.deepEqual((await other.approvals.list()).data, []);
    assert.equal((await refused(other.approvals.get(approvalId))).code, 'approval_not_found');
    assert.equal((await refused(other.approvals.answer(approvalId, { decision: 'allow' }))).code, 'approval_not_found');
    await client.approvals.answer(approvalId, { decision: 'deny' });
  });

  it('what was asked and answered is in the audit, whose chain holds', async () => {
    const id = await newSession([{ tool: 'bash', policy: 'ask' }]);
    await call(id, 'bash', { command: 'ls' });
    const { id: approvalId } = await pendingOf(id);
    await client.events.send(id, [{ type: 'user.tool_confirmation', tool_use_id: approvalId, result: 'allow', scope: 'session' }]);
    const acts = async () => (await client.audit.list({ subject: approvalId, order: 'asc' })).data;
    await waitFor(async () => (await acts()).length === 2, { timeoutMs: MS, what: 'the entries' });
    assert.deepEqual(
      (await acts()).map(({ action, actor }) => [action, actor.split(':')[0]]),
      [
        ['approval.asked', 'system'],
        ['approval.answered', 'key'],
      ],
    );
    const head = await client.audit.head();
    const verdict = await client.audit.verify({ head_seq: head.seq, head_mac: head.mac });
    assert.deepEqual([verdict.intact, verdict.findings], [true, []]);
    const forged = await client.audit.verify({ head_seq: head.seq + 5, head_mac: head.mac });
    assert.deepEqual(
      forged.findings.map(({ kind }) => kind),
      ['truncated'],
    );
    const lines = (await (await client.audit.export()).text()).trim().split('\n');
    assert.equal(JSON.parse(lines[0] ?? '').seq, 1);
    assert.equal(JSON.parse(lines.at(-1) ?? '').action, 'audit.exported');
  });
});

describe('approvals that nobody answers', () => {
  it('expire, and the turn goes on without the call', { timeout: 60_000 }, async () => {
    await using server = await startTestServer({ env: { APPROVAL_TIMEOUT_SECONDS: '1', SWEEP_SECONDS: '1' } });
    const client = createClient({ url: server.url, key: server.key });
    const environment = (await client.environments.list()).data[0]?.id ?? '';
    const agent = await client.agents.create({ name: 'x', model: 'demo', permission_rules: [{ tool: 'bash', policy: 'ask' }] });
    const { id } = await client.sessions.create({ agent: agent.id, environment_id: environment });
    await client.events.send(id, [{ type: 'user.message', content: '[[tool bash {"command":"ls"}]]' }]);
    const events = async () => (await client.events.list(id, { limit: 1000 })).data;
    await waitFor(async () => (await events()).some(({ type }) => type === 'turn.ended'), { timeoutMs: MS, what: 'the end of the turn' });
    const types = (await events()).map(({ type }) => type);
    assert.ok(types.indexOf('approval.expired') < types.indexOf('agent.tool_result'));
    const [approval] = (await client.approvals.list({ session_id: id })).data;
    assert.deepEqual([approval?.state, approval?.answer?.by], ['expired', 'system']);
    assert.match(approval?.answer?.message ?? '', /Nobody answered in time/);
    const late = await client.approvals.answer(approval?.id ?? '', { decision: 'allow' }).catch((error: unknown) => error);
    assert.ok(late instanceof ClientError && late.code === 'approval_answered');
  });
});
