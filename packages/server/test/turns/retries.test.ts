import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createClient, type SessionEvent } from '@cloister/api';
import { startTestServer } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const MS = 20_000;

async function setup(env: Readonly<Record<string, string>>) {
  const server = await startTestServer({ env });
  const id = await server.createSession();
  const client = () => createClient({ url: server.url, key: server.key });
  const events = async () => (await client().events.list(id, { limit: 1000 })).data;
  const turn = (turnId: string) => client().turns.get(id, turnId);
  return {
    server,
    id,
    client,
    events,
    turn,
    async send(text: string, wait?: number): Promise<string> {
      const { data } = await client().events.send(id, [{ type: 'user.message', content: text }], wait === undefined ? {} : { wait });
      return data[0]?.turn_id ?? assert.fail('a message has a turn');
    },
    untilPutBack: (turnId: string) =>
      waitFor(async () => (await turn(turnId)).retry_at !== null, { timeoutMs: MS, what: 'the turn to be put back' }),
    untilEnded: (turnId: string) => waitFor(async () => (await turn(turnId)).outcome, { timeoutMs: MS, what: 'the turn to end' }),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

const errors = (events: readonly SessionEvent[]) => events.flatMap((event) => (event.type === 'session.error' ? [event] : []));

describe('a turn that fails before it has done anything', () => {
  it('is tried again after a while that doubles, until it works', async () => {
    await using bench = await setup({ RETRY_BASE_SECONDS: '1' });
    const turnId = await bench.send('[[flaky 3]] hello', 20);
    const turn = await bench.turn(turnId);
    assert.deepEqual([turn.outcome, turn.attempt, turn.retries, turn.retry_at], ['completed', 3, 2, null]);
    const events = await bench.events();
    assert.deepEqual(
      errors(events).map(({ error }) => error.retry_status.type),
      ['retrying', 'retrying'],
    );
    const statuses = events.filter((event) => event.type.startsWith('session.status_'));
    assert.deepEqual(
      statuses.map((event) => event.type.slice('session.status_'.length)),
      ['running', 'rescheduled', 'running', 'rescheduled', 'running', 'idle'],
    );
    const at = statuses.map((event) => Date.parse(event.created_at));
    const waits = [Number(at[2]) - Number(at[1]), Number(at[4]) - Number(at[3])];
    assert.ok(Number(waits[0]) >= 950 && Number(waits[0]) < 1900, String(waits));
    assert.ok(Number(waits[1]) >= 1950, String(waits));
  });

  it('becomes a dead letter when it was tried often enough', async () => {
    await using bench = await setup({ RETRY_BASE_SECONDS: '0', MAX_TURN_ATTEMPTS: '3' });
    const turnId = await bench.send('[[fail]]', 20);
    const { outcome, attempt, error } = await bench.turn(turnId);
    assert.deepEqual([outcome, attempt, error?.code], ['failed', 3, 'harness_failed']);
    assert.match(error?.message ?? '', /It was tried 3 times\.$/);
    const events = await bench.events();
    assert.deepEqual(
      errors(events).map((event) => event.error.retry_status.type),
      ['retrying', 'retrying', 'exhausted'],
    );
    assert.equal(events.filter((event) => event.type === 'turn.ended').length, 1);
  });

  it('keeps its place: what came after it waits', async () => {
    await using bench = await setup({ RETRY_BASE_SECONDS: '1' });
    const first = await bench.send('[[flaky 2]] first');
    const second = await bench.send('second');
    await bench.untilPutBack(first);
    assert.equal((await bench.turn(second)).state, 'queued');
    await bench.untilEnded(second);
    const ended = (await bench.events()).flatMap((event) => (event.type === 'turn.ended' ? [event.turn_id] : []));
    assert.deepEqual(ended, [first, second]);
  });

  it('ends when it is interrupted while it waits', async () => {
    await using bench = await setup({ RETRY_BASE_SECONDS: '600' });
    const turnId = await bench.send('[[fail]]');
    await bench.untilPutBack(turnId);
    await bench.client().events.send(bench.id, [{ type: 'user.interrupt' }]);
    const turn = await bench.turn(turnId);
    assert.deepEqual([turn.outcome, turn.retry_at, turn.attempt], ['cancelled', null, 1]);
    assert.equal((await bench.client().sessions.get(bench.id)).status, 'idle');
  });

  it('is cancelled by its id while it waits, and what is behind it runs', async () => {
    await using bench = await setup({ RETRY_BASE_SECONDS: '600' });
    const turnId = await bench.send('[[fail]]');
    const next = await bench.send('next');
    await bench.untilPutBack(turnId);
    assert.equal((await bench.client().turns.cancel(bench.id, turnId)).state, 'cancelled');
    assert.equal(await bench.untilEnded(next), 'completed');
  });

  it('is still there after a restart, and goes on', async () => {
    await using bench = await setup({ RETRY_BASE_SECONDS: '600' });
    const turnId = await bench.send('[[flaky 2]]');
    await bench.untilPutBack(turnId);
    await bench.server.restart();
    assert.equal(await bench.untilEnded(turnId), 'completed');
    assert.deepEqual([(await bench.turn(turnId)).attempt, (await bench.turn(turnId)).retries], [2, 1]);
  });
});

describe('a turn that has called a tool', () => {
  it('is never tried again', async () => {
    await using bench = await setup({ RETRY_BASE_SECONDS: '0' });
    const turnId = await bench.send('[[tool bash {"command":"ls"}]] [[slow 1 1]] [[late exit]]', 20);
    const turn = await bench.turn(turnId);
    assert.deepEqual([turn.outcome, turn.attempt, turn.retries], ['interrupted', 1, 0]);
    assert.equal((await bench.events()).filter((event) => event.type === 'agent.tool_use').length, 1);
  });
});
