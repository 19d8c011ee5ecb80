import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { PROBLEMS, type ProblemCode } from '@cloister/api';
import { type Answer, message, startTestServer, type TestServer, type Wire } from '../support/server.ts';
import { openStream } from '../support/sse.ts';
import { waitFor } from '../support/wait-for.ts';

const ASK = [{ type: 'agent_toolset_20260401', default_config: { permission_policy: { type: 'always_ask' } } }];
const TOOL = '[[tool bash {"command":"ls"}]]';

describe('turns', { timeout: 120_000 }, () => {
  let server: TestServer;
  let asking: string;
  before(async () => {
    // How a turn that is tried again fares is told in turns/retries.test.ts.
    server = await startTestServer({ env: { MAX_TURN_ATTEMPTS: '1' } });
    asking = (await server.json('POST', '/v1/agents', { body: { name: 'asking', model: 'demo', tools: ASK } })).body.id;
  });
  after(() => server?.[Symbol.asyncDispose]());

  const post = (session: string, events: readonly object[], query = ''): Promise<Answer> =>
    server.json('POST', `/v1/sessions/${session}/events${query}`, { body: { events } });
  const say = (session: string, text: string, query = '?wait=10') => post(session, [message(text)], query);
  const interrupt = (session: string) => post(session, [{ type: 'user.interrupt' }]);
  const decide = (session: string, id: string, result: 'allow' | 'deny', more: object = {}) =>
    post(session, [{ type: 'user.tool_confirmation', tool_use_id: id, result, ...more }]);
  const events = async (session: string): Promise<readonly Wire[]> =>
    (await server.json('GET', `/v1/sessions/${session}/events?limit=1000`)).body.data;
  const status = async (session: string): Promise<string> => (await server.json('GET', `/v1/sessions/${session}`)).body.status;
  const ended = (session: string, count: number) =>
    waitFor(async () => (await events(session)).filter((event) => event.type === 'turn.ended').slice(count - 1)[0], {
      timeoutMs: 10_000,
      what: `turn ${count} to end`,
    });
  const running = (session: string) =>
    waitFor(async () => (await status(session)) === 'running', { timeoutMs: 10_000, what: 'the turn to run' });
  const texts = (list: readonly Wire[]): string[] =>
    list.filter((event) => event.type === 'agent.message').map((event) => event.content[0].text);
  const refused = ({ status: code, body }: Answer): readonly [number, ProblemCode] => [code, body.error?.code];

  describe('?wait', () => {
    it('answers with the turn and its events when it has ended', async () => {
      const { body } = await say(await server.createSession(), 'hello');
      assert.deepEqual(
        [body.turn.state, body.turn.outcome, body.turn.stop_reason, body.turn.error],
        ['completed', 'completed', 'end_turn', null],
      );
      assert.deepEqual(
        body.events.map((event: Wire) => event.type),
        ['user.message', 'session.status_running', 'agent.message', 'turn.ended', 'session.status_idle'],
      );
      assert.ok(body.events.every((event: Wire) => event.turn_id === body.turn.id));
    });

    it('answers as soon as the turn waits for a person', async () => {
      const session = await server.createSession(asking);
      const { body } = await say(session, TOOL);
      assert.deepEqual([body.turn.state, body.turn.outcome], ['waiting_approval', null]);
      const use = body.events.find((event: Wire) => event.type === 'agent.tool_use');
      assert.deepEqual(body.events.at(-1).stop_reason, { type: 'requires_action', event_ids: [use.id] });
      await interrupt(session);
      assert.equal((await ended(session, 1)).outcome, 'cancelled');
    });

    it('shows how far it is when the time is over', async () => {
      const session = await server.createSession();
      const { body } = await say(session, '[[hang]]', '?wait=0.3');
      assert.deepEqual([body.turn.state, body.turn.outcome], ['running', null]);
      assert.equal(body.events.at(-1).type, 'session.status_running');
      await interrupt(session);
      await ended(session, 1);
    });

    it('has no turn to wait for when no message was sent', async () => {
      const { body } = await post(await server.createSession(), [{ type: 'user.interrupt' }], '?wait=5');
      assert.deepEqual([body.turn, body.events], [null, []]);
    });
  });

  describe('user.interrupt', () => {
    it('stops a running turn within a second and leaves the memory', async () => {
      const session = await server.createSession();
      await say(session, 'first');
      await say(session, '[[hang]]', '');
      await waitFor(async () => (await events(session)).filter((event) => event.type === 'session.status_running').length === 2, {
        timeoutMs: 10_000,
        what: 'the second turn to run',
      });
      const started = performance.now();
      await interrupt(session);
      const end = await ended(session, 2);
      assert.ok(performance.now() - started < 1500, `${performance.now() - started} ms`);
      assert.deepEqual([end.outcome, end.stop_reason, end.error], ['cancelled', 'cancelled', null]);
      assert.equal(await status(session), 'idle');
      const { body } = await say(session, 'third');
      assert.match(texts(body.events)[0] ?? '', /^echo: third \| turns=[23]$/);
    });

    it('ends what is queued, one at a time, and never what ran', async () => {
      const session = await server.createSession();
      await say(session, 'zero');
      await using preview = await openStream(server, session, { query: '?event_deltas[]=agent.message' });
      await say(session, '[[slow 200 20]]', '');
      await say(session, 'second', '');
      // The agent has been asked by the time it has begun to write.
      await preview.readUntil((event) => event.type === 'event_delta');
      await interrupt(session);
      await ended(session, 3);
      const outcomes = (await events(session)).filter((event) => event.type === 'turn.ended').map((event) => event.outcome);
      assert.deepEqual(outcomes, ['completed', 'cancelled', 'completed']);
    });

    it('is taken and recorded when nothing runs', async () => {
      const session = await server.createSession();
      const { status: code, body } = await interrupt(session);
      assert.deepEqual([code, body.data[0].type, body.data[0].turn_id], [200, 'user.interrupt', null]);
      assert.equal(texts((await say(session, 'still here')).body.events).length, 1);
    });
  });

  describe('user.tool_confirmation', () => {
    async function asked(): Promise<{ session: string; use: string }> {
      const session = await server.createSession(asking);
      const { body } = await say(session, TOOL);
      const use = body.events.find((event: Wire) => event.type === 'agent.tool_use');
      assert.deepEqual([use.name, use.input, use.evaluated_permission], ['bash', { command: 'ls' }, 'ask']);
      assert.equal(await status(session), 'idle');
      return { session, use: use.id };
    }

    it('lets the tool run', async () => {
      const { session, use } = await asked();
      assert.equal((await decide(session, use, 'allow')).status, 200);
      assert.equal((await ended(session, 1)).outcome, 'completed');
      const result = (await events(session)).find((event) => event.type === 'agent.tool_result');
      assert.deepEqual([result.tool_use_id, result.is_error, result.content[0].text], [use, false, 'ran bash']);
    });

    it('keeps the tool from running', async () => {
      const { session, use } = await asked();
      await decide(session, use, 'deny', { deny_message: 'not now' });
      assert.equal((await ended(session, 1)).outcome, 'completed');
      const result = (await events(session)).find((event) => event.type === 'agent.tool_result');
      assert.deepEqual([result.tool_use_id, result.is_error], [use, true]);
    });

    it('is taken once', async () => {
      const { session, use } = await asked();
      assert.equal((await decide(session, use, 'allow')).status, 200);
      assert.deepEqual(refused(await decide(session, use, 'deny')), [409, 'approval_not_pending']);
      await ended(session, 1);
      assert.deepEqual(refused(await decide(session, use, 'allow')), [409, 'approval_not_pending']);
    });

    it('belongs to a call of this session that asks', async () => {
      const { session, use } = await asked();
      const other = await server.createSession();
      assert.deepEqual(refused(await decide(other, use, 'allow')), [404, 'event_not_found']);
      assert.deepEqual(refused(await decide(session, 'evt_0', 'allow')), [404, 'event_not_found']);
      assert.deepEqual(refused(await decide(session, use, 'allow', { deny_message: 'but' })), [400, 'request_invalid']);
      const mixed = await post(session, [message('not stored'), { type: 'user.tool_confirmation', tool_use_id: 'evt_0', result: 'allow' }]);
      assert.deepEqual(refused(mixed), [404, 'event_not_found']);
      assert.ok(!JSON.stringify(await events(session)).includes('not stored'));
      await decide(session, use, 'deny');
      await ended(session, 1);
    });

    it('waits across a restart of the server', async () => {
      const { session, use } = await asked();
      await server.restart();
      assert.equal((await decide(session, use, 'allow')).status, 200);
      assert.equal((await ended(session, 1)).outcome, 'completed');
    });
  });

  it('run one at a time, in the order of their messages', async () => {
    const session = await server.createSession();
    const sent = Array.from({ length: 8 }, (_, index) => message(`m${index} [[slow 2 5]]`));
    await post(session, sent.slice(0, 4));
    for (const one of sent.slice(4)) await post(session, [one]);
    await ended(session, 8);
    const log = (await events(session)).filter((event) => event.turn_id !== null && event.type !== 'user.message');
    const order = log.map((event) => event.turn_id).filter((id, index, ids) => id !== ids[index - 1]);
    const asked = (await events(session)).filter((event) => event.type === 'user.message');
    assert.deepEqual(
      order,
      asked.map((event) => event.turn_id),
    );
    assert.deepEqual(
      asked.map((event) => event.content[0].text),
      sent.map((one) => one.content[0].text),
    );
    assert.ok((await events(session)).filter((event) => event.type === 'user.message').every((event) => event.processed_at !== null));
  });

  describe('that fail', () => {
    for (const [directive, code, outcome] of [
      ['[[fail]]', 'harness_failed', 'failed'],
      // A tool may have run before the sandbox ended, so that nobody can say how far it came.
      ['[[exit]]', 'sandbox_exited', 'interrupted'],
      ['[[oom]]', 'sandbox_out_of_memory', 'failed'],
    ] as const)
      it(`${directive} → ${code}, told once, and the session goes on`, async () => {
        const session = await server.createSession();
        const { body } = await say(session, directive);
        assert.deepEqual([body.turn.outcome, body.turn.error.code, body.turn.error.fix], [outcome, code, PROBLEMS[code].fix]);
        const log = await events(session);
        const [error, end, idle] = log.slice(-3);
        assert.deepEqual([error.type, error.error.code, error.error.fix], ['session.error', code, PROBLEMS[code].fix]);
        assert.deepEqual([end.type, end.outcome, end.error.code], ['turn.ended', outcome, code]);
        assert.deepEqual([idle.type, idle.stop_reason], ['session.status_idle', { type: 'retries_exhausted' }]);
        assert.equal(log.filter((event) => event.type === 'session.error').length, 1);
        assert.equal((await say(session, 'and now?')).body.turn.outcome, 'completed');
      });
  });

  describe('while they run', () => {
    it('their session can be neither archived nor deleted', async () => {
      const session = await server.createSession();
      await say(session, '[[hang]]', '');
      await running(session);
      assert.deepEqual(refused(await server.json('POST', `/v1/sessions/${session}/archive`)), [409, 'session_busy']);
      assert.deepEqual(refused(await server.json('DELETE', `/v1/sessions/${session}`)), [409, 'session_busy']);
      const tools = { body: { agent: { tools: [] } } };
      assert.deepEqual(refused(await server.json('POST', `/v1/sessions/${session}`, tools)), [409, 'session_busy']);
      await interrupt(session);
      await ended(session, 1);
      assert.equal((await server.json('POST', `/v1/sessions/${session}/archive`)).status, 200);
      assert.deepEqual(refused(await say(session, 'too late')), [409, 'session_archived']);
    });

    it('are listed by status', async () => {
      const session = await server.createSession();
      await say(session, '[[hang]]', '');
      await running(session);
      const list = async (query: string) => (await server.json('GET', `/v1/sessions?${query}`)).body.data.map(({ id }: Wire) => id);
      assert.deepEqual(await list('statuses[]=running'), [session]);
      assert.ok(!(await list('statuses[]=idle&limit=100')).includes(session));
      await interrupt(session);
      await ended(session, 1);
    });
  });

  it('leave files that go with the session', async () => {
    const session = await server.createSession();
    await say(session, 'make files');
    const files = path.join(server.dataDir, 'sessions', session);
    assert.ok(existsSync(path.join(files, 'workspace')));
    assert.equal((await server.json('DELETE', `/v1/sessions/${session}`)).status, 200);
    assert.ok(!existsSync(files));
    assert.deepEqual(refused(await say(session, 'gone')), [404, 'session_not_found']);
  });
});
