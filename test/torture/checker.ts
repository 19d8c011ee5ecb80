import type { History } from './history.ts';
import * as run from './rules-run.ts';
import * as session from './rules-session.ts';

/** Each rule with the invariant of the plan that it is part of; `-` for what the plan asks of a fault, not of every run. */
export const RULES = {
  'accepted message has an outcome': 'I1',
  'everything ends': 'I1',
  'one outcome at most': 'I2',
  'stream equals log': 'I3, I11',
  'nothing twice without a fault': 'I4',
  'turns in the order of acceptance': 'I5',
  'no two turns at once': 'I5',
  'one answer per attempt': 'I6',
  'one key, one event': 'I7',
  'no orphans': 'I8',
  'seq without a gap': 'I11',
  'webhooks tell everything': 'I13',
  'queues are bounded': 'I16',
  'no tool runs twice': '-',
  'memory goes on': '-',
  'ready in time': '-',
  'recovers in time': '-',
  'stops in order': '-',
  'the database is sound': '-',
} as const;
export type Rule = keyof typeof RULES;

export interface Violation {
  readonly rule: Rule;
  readonly sessionId: string | null;
  readonly detail: string;
}

const OF_SESSION: readonly (readonly [Rule, (history: History['sessions'][number]) => string[]])[] = [
  ['accepted message has an outcome', session.lostMessages],
  ['one outcome at most', session.doubleOutcomes],
  ['turns in the order of acceptance', session.orderOfTurns],
  ['no two turns at once', session.overlaps],
  ['one answer per attempt', session.staleAnswers],
  ['seq without a gap', session.gaps],
  ['one key, one event', session.keys],
  ['stream equals log', session.streamDifferences],
  ['no tool runs twice', session.repeatedTools],
  ['memory goes on', session.memory],
];

const OF_RUN: readonly (readonly [Rule, (history: History) => string[]])[] = [
  ['everything ends', run.unfinished],
  ['nothing twice without a fault', run.needlessRepeats],
  ['no orphans', run.orphans],
  ['webhooks tell everything', run.webhooks],
  ['queues are bounded', run.unboundedQueues],
  ['ready in time', run.slowStarts],
  ['recovers in time', run.slowRecoveries],
  ['stops in order', run.badStops],
  ['the database is sound', run.unsoundness],
];

/** Judges a run by what its clients saw and what the API says: nothing of the server's inside is looked at. */
export function check(history: History): Violation[] {
  return [
    ...history.sessions.flatMap((one) =>
      OF_SESSION.flatMap(([rule, find]) => find(one).map((detail) => ({ rule, sessionId: one.sessionId, detail }))),
    ),
    ...OF_RUN.flatMap(([rule, find]) => find(history).map((detail) => ({ rule, sessionId: null, detail }))),
  ];
}
