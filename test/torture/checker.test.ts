import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SessionEvent } from '../../packages/api/src/index.ts';
import { check, RULES, type Rule } from './checker.ts';
import type { Delivered, History, Sent, SessionHistory } from './history.ts';

const AT = '2026-01-01T00:00:00.000Z';

interface Draft {
  readonly id: string;
  readonly type: string;
  readonly turn_id: string | null;
  readonly [field: string]: unknown;
}

/** Numbers the drafts as the log would. */
function numbered(drafts: readonly Draft[]): SessionEvent[] {
  // Only what the checker reads is filled in.
  return drafts.map((draft, index) => ({ ...draft, seq: index + 1, created_at: AT, processed_at: AT }) as unknown as SessionEvent);
}

function turn(n: number): Draft[] {
  const turn_id = `turn_${n}`;
  return [
    { id: `tool_${n}`, type: 'agent.tool_use', turn_id, name: 'bash', input: {} },
    { id: `said_${n}`, type: 'agent.message', turn_id, content: [{ type: 'text', text: `echo: m${n} | turns=${n}` }] },
    ended(n),
  ];
}

function message(n: number): Draft {
  return { id: `event_${n}`, type: 'user.message', turn_id: `turn_${n}`, content: [{ type: 'text', text: `m${n}` }] };
}

function ended(n: number, id = `ended_${n}`): Draft {
  return {
    id,
    type: 'turn.ended',
    turn_id: `turn_${n}`,
    event_id: `event_${n}`,
    outcome: 'completed',
    stop_reason: 'end_turn',
    error: null,
  };
}

const HEALTHY: readonly Draft[] = [
  message(1),
  { id: 'running', type: 'session.status_running', turn_id: 'turn_1' },
  message(2),
  ...turn(1),
  ...turn(2),
  { id: 'idle', type: 'session.status_idle', turn_id: 'turn_2', stop_reason: { type: 'end_turn' } },
];
const SENT: readonly Sent[] = [1, 2].map((n) => ({
  key: `key-${n}`,
  type: 'user.message',
  texts: [`m${n}`],
  answers: [[`event_${n}`], [`event_${n}`]],
  refusal: null,
  mismatches: [422],
}));

const DELIVERED: readonly Delivered[] = [1, 2].map((n) => ({
  id: `ended_${n}`,
  type: 'cloister.turn.ended',
  sessionId: 'sesn_1',
  turnId: `turn_${n}`,
  bodyHash: `hash_${n}`,
  isSigned: true,
  status: 204,
}));

function history(drafts: readonly Draft[], change: Partial<SessionHistory> = {}): History {
  const logged = numbered(drafts);
  return {
    sessions: [{ sessionId: 'sesn_1', sent: SENT, logged, streamed: logged, streamFailure: null, ...change }],
    readyMs: [700, 800],
    unfinished: 0,
    faults: 0,
    recoveries: [{ fault: 'pg-restart', ms: 900 }],
    stops: [{ code: 0, ms: 2000 }],
    bareRefusals: 0,
    maxQueuedPerSession: 2,
    sandboxes: ['sesn_1'],
    webhooks: { delivered: DELIVERED, deadLetters: [], open: 0 },
    integrity: 'ok',
  };
}

function run(change: Partial<History>): History {
  return { ...history(HEALTHY), ...change };
}

function delivered(change: (one: Delivered) => Delivered[], deadLetters: readonly string[] = []): History {
  return run({ webhooks: { delivered: DELIVERED.flatMap(change), deadLetters, open: 0 } });
}

function rules(given: History): Rule[] {
  return [...new Set(check(given).map((violation) => violation.rule))];
}

const without = (id: string): Draft[] => HEALTHY.filter((draft) => draft.id !== id);
const replaced = (id: string, ...by: Draft[]): Draft[] => HEALTHY.flatMap((draft) => (draft.id === id ? by : [draft]));

/** Doctored histories, and the rule each of them breaks. */
const CONTROLS: readonly (readonly [string, Rule, History])[] = [
  ['an accepted message without an outcome', 'accepted message has an outcome', history(without('ended_1'))],
  ['an accepted message that is not in the log', 'one key, one event', history(without('event_2'))],
  ['two outcomes of one turn', 'one outcome at most', history(replaced('ended_1', ended(1), ended(1, 'ended_1_again')))],
  ['messages in another order', 'turns in the order of acceptance', history([message(2), message(1), ...turn(1), ...turn(2)])],
  ['ends in another order', 'turns in the order of acceptance', history([message(1), message(2), ...turn(2), ...turn(1)])],
  [
    'a turn that begins while another runs',
    'no two turns at once',
    history(replaced('said_1', { id: 'early', type: 'agent.thinking', turn_id: 'turn_2' })),
  ],
  [
    'work of a turn after its end',
    'no two turns at once',
    history(replaced('ended_2', ended(2), { id: 'late', type: 'agent.thinking', turn_id: 'turn_2' })),
  ],
  [
    'a hole in the log',
    'seq without a gap',
    history([], { logged: numbered(HEALTHY).map((event) => (event.seq > 3 ? { ...event, seq: event.seq + 1 } : event)) }),
  ],
  [
    'one key with two events',
    'one key, one event',
    history(HEALTHY, { sent: SENT.map((one) => ({ ...one, answers: [...one.answers, ['event_9']] })) }),
  ],
  [
    'one message written twice',
    'one key, one event',
    history([...HEALTHY, { ...message(1), id: 'event_3', turn_id: 'turn_3' }, { ...ended(3) }]),
  ],
  ['a key that was never answered', 'one key, one event', history(HEALTHY, { sent: SENT.map((one) => ({ ...one, answers: [] })) })],
  [
    'an event missing in the stream',
    'stream equals log',
    history(HEALTHY, { streamed: numbered(HEALTHY).filter((_, index) => index !== 4) }),
  ],
  [
    'an event twice in the stream',
    'stream equals log',
    history(HEALTHY, { streamed: numbered(HEALTHY).flatMap((event) => (event.seq === 4 ? [event, event] : [event])) }),
  ],
  [
    'an event too many at the end of the stream',
    'stream equals log',
    history(HEALTHY, { streamed: numbered([...HEALTHY, { id: 'more', type: 'agent.thinking', turn_id: null }]) }),
  ],
  ['a stream that was refused', 'stream equals log', history(HEALTHY, { streamFailure: 'the server answered 404' })],
  [
    'a tool that ran twice in one turn',
    'no tool runs twice',
    history(replaced('said_1', { id: 'tool_1_again', type: 'agent.tool_use', turn_id: 'turn_1', name: 'bash', input: {} })),
  ],
  [
    'a conversation that was forgotten',
    'memory goes on',
    history(
      replaced('said_2', {
        id: 'said_2',
        type: 'agent.message',
        turn_id: 'turn_2',
        content: [{ type: 'text', text: 'echo: m2 | turns=1' }],
      }),
    ),
  ],
  [
    'another body accepted under a used key',
    'one key, one event',
    history(HEALTHY, { sent: SENT.map((one) => ({ ...one, mismatches: [200] })) }),
  ],
  [
    'an answer of a run that had lost its lease',
    'one answer per attempt',
    history(
      replaced(
        'said_1',
        {
          id: 'stale',
          type: 'agent.message',
          turn_id: 'turn_1',
          content: [{ type: 'text', text: 'piece0 ' }],
        },
        ...turn(1).filter((draft) => draft.id === 'said_1'),
      ),
    ),
  ],
  [
    'an answer outside of any turn',
    'one answer per attempt',
    history(replaced('idle', { id: 'x', type: 'agent.message', turn_id: null, content: [] })),
  ],
  ['more open messages than may wait', 'queues are bounded', run({ maxQueuedPerSession: 0 })],
  ['a refusal that does not say when to come again', 'queues are bounded', run({ bareRefusals: 1 })],
  [
    'a turn that is given up for no reason',
    'nothing twice without a fault',
    history(replaced('ended_1', { ...ended(1), error: { code: 'turn_interrupted', message: '' } })),
  ],
  ['a delivery that is repeated for no reason', 'nothing twice without a fault', delivered((one) => [one, one])],
  ['two sandboxes of one session', 'no orphans', run({ sandboxes: ['sesn_1', 'sesn_1'] })],
  ['a sandbox of nobody', 'no orphans', run({ sandboxes: ['sesn_2'] })],
  ['an end that no webhook told of', 'webhooks tell everything', delivered((one) => (one.id === 'ended_1' ? [] : [one]))],
  ['an end that was only ever refused', 'webhooks tell everything', delivered((one) => [{ ...one, status: 500 }])],
  ['a delivery without a valid signature', 'webhooks tell everything', delivered((one) => [{ ...one, isSigned: false }])],
  ['one id with two contents', 'webhooks tell everything', delivered((one) => [one, { ...one, bodyHash: 'other' }])],
  ['a delivery of what never happened', 'webhooks tell everything', delivered((one) => [one, { ...one, id: `${one.id}-x` }])],
  ['a delivery that stays open', 'webhooks tell everything', run({ webhooks: { delivered: DELIVERED, deadLetters: [], open: 1 } })],
  ['a turn that never ends', 'everything ends', run({ unfinished: 1 })],
  ['a start that takes too long', 'ready in time', run({ readyMs: Array.from({ length: 50 }, () => 6000) })],
  ['one start of a few that takes far too long', 'ready in time', run({ readyMs: [700, 11_000] })],
  ['a database that stays away', 'recovers in time', run({ recoveries: [{ fault: 'pg-restart', ms: 5500 }] })],
  ['a half-open connection that nobody notices', 'recovers in time', run({ recoveries: [{ fault: 'blackhole', ms: 21_000 }] })],
  ['a stop with an error', 'stops in order', run({ stops: [{ code: 1, ms: 100 }] })],
  ['a stop that takes too long', 'stops in order', run({ stops: [{ code: 0, ms: 31_000 }] })],
  ['a broken database', 'the database is sound', run({ integrity: 'row 1 missing from index' })],
];

describe('the checker of the torture', () => {
  it('has nothing against a healthy history', () => assert.deepEqual(check(history(HEALTHY)), []));
  it('has nothing against a dead letter', () =>
    assert.deepEqual(check(delivered((one) => (one.id === 'ended_1' ? [] : [one]), ['ended_1'])), []));
  it('has nothing against repeats around a fault', () => assert.deepEqual(check({ ...delivered((one) => [one, one]), faults: 1 }), []));
  it('has a control for every rule', () => assert.deepEqual(new Set(CONTROLS.map(([, rule]) => rule)), new Set(Object.keys(RULES))));
  for (const [name, rule, doctored] of CONTROLS)
    it(`sees ${name}`, () => assert.ok(rules(doctored).includes(rule), `found only: ${rules(doctored).join(', ')}`));
});
