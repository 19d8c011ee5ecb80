import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SessionEvent } from '../../packages/api/src/index.ts';
import { check, type Rule } from './checker.ts';
import type { History, Sent, SessionHistory } from './history.ts';

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
}));

function history(drafts: readonly Draft[], change: Partial<SessionHistory> = {}): History {
  const logged = numbered(drafts);
  return {
    sessions: [{ sessionId: 'sesn_1', sent: SENT, logged, streamed: logged, streamFailure: null, ...change }],
    readyMs: [700, 800],
    unfinished: 0,
  };
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
  ['a turn that never ends', 'everything ends', { ...history(HEALTHY), unfinished: 1 }],
  ['a start that takes too long', 'ready in time', { ...history(HEALTHY), readyMs: [6000] }],
];

describe('the checker of the torture', () => {
  it('has nothing against a healthy history', () => assert.deepEqual(check(history(HEALTHY)), []));
  for (const [name, rule, doctored] of CONTROLS)
    it(`sees ${name}`, () => assert.ok(rules(doctored).includes(rule), `found only: ${rules(doctored).join(', ')}`));
});
