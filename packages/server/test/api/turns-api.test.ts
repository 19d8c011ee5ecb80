import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createClient } from '@cloister/api';
import { message, OTHER_KEY, startTestServer, type TestServer, type Wire } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const MS = 15_000;

describe('turns', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ env: { RETRY_BASE_SECONDS: '0', MAX_TURN_ATTEMPTS: '2', MAX_CONCURRENT_SANDBOXES: '4' } });
  });
  after(() => server?.[Symbol.asyncDispose]());

  const pathOf = (sessionId: string, turnId = '') => `/v1/sessions/${sessionId}/turns${turnId === '' ? '' : `/${turnId}`}`;

  async function send(sessionId: string, text: string, wait?: number): Promise<Wire> {
    const query = wait === undefined ? '' : `?wait=${wait}`;
    const { status, body } = await server.json('POST', `/v1/sessions/${sessionId}/events${query}`, { body: { events: [message(text)] } });
    assert.equal(status, 200, JSON.stringify(body));
    return body;
  }

  const turnOf = async (sessionId: string, turnId: string): Promise<Wire> => (await server.json('GET', pathOf(sessionId, turnId))).body;

  function untilState(sessionId: string, turnId: string, state: string): Promise<Wire> {
    return waitFor(
      async () => {
        const turn = await turnOf(sessionId, turnId);
        return turn.state === state && turn;
      },
      { timeoutMs: MS, what: `the turn to be ${state}` },
    );
  }

  async function agentThatAsks(): Promise<string> {
    const tools = [{ type: 'agent_toolset_20260401', default_config: { permission_policy: { type: 'always_ask' } } }];
    return (await server.json('POST', '/v1/agents', { body: { name: 'asks', model: 'demo', tools } })).body.id;
  }

  it('tell all that became of a message', async () => {
    const id = await server.createSession();
    const sent = await send(id, 'hello', 15);
    const { status, body } = await server.json('GET', pathOf(id, sent.turn.id));
    assert.equal(status, 200);
    assert.deepEqual(body, sent.turn);
    const { created_at, started_at, ended_at, agent_id, stages, ...rest } = body;
    assert.deepEqual(rest, {
      id: sent.data[0].turn_id,
      session_id: id,
      event_id: sent.data[0].id,
      state: 'completed',
      outcome: 'completed',
      priority: 'message',
      attempt: 1,
      retries: 0,
      retry_at: null,
      stop_reason: 'end_turn',
      error: null,
    });
    assert.ok(stages.queue >= 0 && stages.first_token >= 0, 'what it waited for');
    assert.match(agent_id, /^agt_/);
    assert.ok(created_at <= started_at && started_at <= ended_at);
  });

  it('are listed page by page, the newest first, by session and by state', async () => {
    const id = await server.createSession();
    const sent: string[] = [];
    for (const text of ['one', '[[fail]]', 'three']) sent.push((await send(id, text, 15)).turn.id);
    const first = (await server.json('GET', `${pathOf(id)}?limit=2`)).body;
    assert.deepEqual(
      first.data.map((one: Wire) => one.id),
      [sent[2], sent[1]],
    );
    const second = (await server.json('GET', `${pathOf(id)}?limit=2&page=${first.next_page}`)).body;
    assert.deepEqual([second.data.map((one: Wire) => one.id), second.next_page], [[sent[0]], null]);
    const back = (await server.json('GET', `${pathOf(id)}?limit=2&page=${second.prev_page}`)).body;
    assert.deepEqual(back.data, first.data);
    const oldest = (await server.json('GET', `/v1/turns?session_id=${id}&order=asc&limit=1`)).body;
    assert.equal(oldest.data[0].id, sent[0]);
    const dead = (await server.json('GET', `/v1/turns?session_id=${id}&states[]=failed`)).body.data;
    assert.deepEqual(
      dead.map((one: Wire) => [one.id, one.error.code]),
      [[sent[1], 'harness_failed']],
    );
    assert.match(dead[0].error.message, /It was tried 2 times\.$/);
    const all = (await server.json('GET', '/v1/turns?states[]=failed&states[]=completed&limit=100')).body.data.map((one: Wire) => one.id);
    for (const turn of sent) assert.ok(all.includes(turn));
    assert.ok((await server.json('GET', '/v1/status')).body.turns.failed_24h >= 1);
  });

  it('of another tenant are as missing ones', async () => {
    const id = await server.createSession();
    const { turn } = await send(id, 'hello', 15);
    const as = { key: OTHER_KEY };
    assert.deepEqual((await server.json('GET', '/v1/turns', as)).body.data, []);
    for (const [method, path] of [
      ['GET', pathOf(id)],
      ['GET', `/v1/turns?session_id=${id}`],
      ['GET', pathOf(id, turn.id)],
      ['POST', `${pathOf(id, turn.id)}/cancel`],
      ['POST', `${pathOf(id, turn.id)}/retry`],
    ] as const)
      assert.deepEqual([path, (await server.json(method, path, as)).body.error.code], [path, 'session_not_found']);
  });

  it('refuse what makes no sense', async () => {
    const [id, other] = [await server.createSession(), await server.createSession()];
    const { turn } = await send(id, 'hello', 15);
    for (const [method, path, code] of [
      ['GET', pathOf(other, turn.id), 'turn_not_found'],
      ['GET', pathOf(id, 'trn_0'), 'turn_not_found'],
      ['POST', `${pathOf(id, 'trn_0')}/cancel`, 'turn_not_found'],
      ['POST', `${pathOf(id, 'trn_0')}/retry`, 'turn_not_found'],
      ['GET', '/v1/turns?session_id=ses_0', 'session_not_found'],
      ['GET', '/v1/turns?states[]=dead', 'request_invalid'],
      ['GET', '/v1/turns?limit=0', 'request_invalid'],
      ['GET', '/v1/turns?page=x', 'cursor_invalid'],
      ['GET', '/v1/turns?state=failed', 'request_invalid'],
      ['POST', `${pathOf(id, turn.id)}/cancel`, 'turn_ended'],
      ['POST', `${pathOf(id, turn.id)}/retry`, 'turn_not_retryable'],
    ] as const)
      assert.deepEqual([path, (await server.json(method, path)).body.error?.code], [path, code]);
  });

  it('that failed are tried again by hand, and may then succeed', async () => {
    const id = await server.createSession();
    const sent = await send(id, '[[flaky 3]] please', 15);
    assert.deepEqual([sent.turn.outcome, sent.turn.retries, sent.turn.attempt], ['failed', 1, 2]);
    const headers = { 'idempotency-key': `retry-${id}` };
    const again = await server.json('POST', `${pathOf(id, sent.turn.id)}/retry?wait=15`, { headers });
    assert.equal(again.status, 200, JSON.stringify(again.body));
    const [event] = again.body.data;
    assert.deepEqual([event.type, event.content, event.retry_of], ['user.message', sent.data[0].content, sent.turn.id]);
    assert.notEqual(again.body.turn.id, sent.turn.id);
    assert.equal(again.body.turn.outcome, 'completed');
    // The same key sends nothing again, and the old outcome stays what it was.
    const replayed = await server.json('POST', `${pathOf(id, sent.turn.id)}/retry`, { headers });
    assert.equal(replayed.body.data[0].id, event.id);
    assert.equal((await server.json('GET', pathOf(id))).body.data.length, 2);
    assert.equal((await turnOf(id, sent.turn.id)).outcome, 'failed');
  });

  it('that were cancelled are tried again; those under way are not', async () => {
    const id = await server.createSession();
    const turnId: string = (await send(id, '[[slow 200 50]]')).data[0].turn_id;
    await untilState(id, turnId, 'running');
    assert.equal((await server.json('POST', `${pathOf(id, turnId)}/retry`)).body.error.code, 'turn_not_retryable');
    const { status, body } = await server.json('POST', `${pathOf(id, turnId)}/cancel`);
    assert.deepEqual([status, body.id], [200, turnId]);
    await untilState(id, turnId, 'cancelled');
    const client = createClient({ url: server.url, key: server.key });
    const again = (await client.turns.retry(id, turnId)).data[0]?.turn_id ?? assert.fail('it has a turn');
    await untilState(id, again, 'running');
    await client.turns.cancel(id, again);
    await untilState(id, again, 'cancelled');
  });

  it('that wait in the queue are cancelled at once, and the one that runs goes on', async () => {
    const id = await server.createSession();
    const running: string = (await send(id, '[[slow 20 50]]')).data[0].turn_id;
    const queued: string = (await send(id, 'never said')).data[0].turn_id;
    const last: string = (await send(id, 'said')).data[0].turn_id;
    await untilState(id, running, 'running');
    const { body } = await server.json('POST', `${pathOf(id, queued)}/cancel`);
    assert.deepEqual([body.state, body.outcome, body.stop_reason], ['cancelled', 'cancelled', 'cancelled']);
    await untilState(id, last, 'completed');
    assert.equal((await turnOf(id, running)).outcome, 'completed');
  });

  it('that wait for a person are cancelled', async () => {
    const id = await server.createSession(await agentThatAsks());
    const { turn } = await send(id, '[[tool bash {"command":"ls"}]]', 15);
    assert.equal(turn.state, 'waiting_approval');
    await server.json('POST', `${pathOf(id, turn.id)}/cancel`);
    await untilState(id, turn.id, 'cancelled');
  });
});
