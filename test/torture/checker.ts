import type { SessionEvent } from '../../packages/api/src/index.ts';
import type { History, SessionHistory } from './history.ts';

export type Rule =
  | 'accepted message has an outcome'
  | 'one outcome at most'
  | 'turns in the order of acceptance'
  | 'no two turns at once'
  | 'seq without a gap'
  | 'one key, one event'
  | 'stream equals log'
  | 'no tool runs twice'
  | 'memory goes on'
  | 'everything ends'
  | 'ready in time';

export interface Violation {
  readonly rule: Rule;
  readonly sessionId: string | null;
  readonly detail: string;
}

type Ended = Extract<SessionEvent, { type: 'turn.ended' }>;
type UserMessage = Extract<SessionEvent, { type: 'user.message' }>;

const READY_P99_MS = 5000;

/** Judges a run by what its clients saw and what the API says: nothing of the server's inside is looked at. */
export function check(history: History): Violation[] {
  const found: Violation[] = history.sessions.flatMap(checkSession);
  if (history.unfinished > 0) found.push({ rule: 'everything ends', sessionId: null, detail: `${history.unfinished} turns did not end` });
  const slow = percentile(history.readyMs, 99);
  if (slow > READY_P99_MS) found.push({ rule: 'ready in time', sessionId: null, detail: `p99 is ${Math.round(slow)} ms` });
  return found;
}

function checkSession(session: SessionHistory): Violation[] {
  const rules: readonly (readonly [Rule, (session: SessionHistory) => string[]])[] = [
    ['accepted message has an outcome', lostMessages],
    ['one outcome at most', doubleOutcomes],
    ['turns in the order of acceptance', orderOfTurns],
    ['no two turns at once', overlaps],
    ['seq without a gap', gaps],
    ['one key, one event', keys],
    ['stream equals log', streamDifferences],
    ['no tool runs twice', repeatedTools],
    ['memory goes on', memory],
  ];
  return rules.flatMap(([rule, find]) => find(session).map((detail) => ({ rule, sessionId: session.sessionId, detail })));
}

function lostMessages({ sent, logged }: SessionHistory): string[] {
  const ended = new Set(logged.filter(isEnded).map((event) => event.event_id));
  const accepted = sent.filter((one) => one.type === 'user.message').flatMap((one) => one.answers[0] ?? []);
  return accepted.filter((id) => !ended.has(id)).map((id) => `${id} was accepted and has no turn.ended`);
}

function doubleOutcomes({ logged }: SessionHistory): string[] {
  const ends = logged.filter(isEnded);
  return [
    ...repeated(ends.map((event) => event.event_id)).map((id) => `${id} has two outcomes`),
    ...repeated(ends.map((event) => event.turn_id ?? '')).map((id) => `the turn ${id} has two outcomes`),
  ];
}

/** Accepted, logged and ended: three orders that must be one. */
function orderOfTurns({ sent, logged }: SessionHistory): string[] {
  const accepted = sent.filter((one) => one.type === 'user.message').flatMap((one) => one.answers[0] ?? []);
  const messages = logged.filter(isMessage).map((event) => event.id);
  const ended = logged.filter(isEnded).map((event) => event.event_id);
  const wrongIn = (name: string, order: readonly string[]): string[] => {
    const known = new Set(order);
    const expected = accepted.filter((id) => known.has(id));
    const at = expected.findIndex((id, index) => order[index] !== id);
    return at < 0 ? [] : [`${name} ${order[at]} stands where ${expected[at]} belongs`];
  };
  return [...wrongIn('the message', messages), ...wrongIn('the end of', ended)];
}

/** Between the first and the last event of a turn there is none of another, and none of it comes after its end. */
function overlaps({ logged }: SessionHistory): string[] {
  const found: string[] = [];
  const over = new Set<string>();
  let current: string | undefined;
  for (const event of logged) {
    const turn = event.turn_id;
    if (turn === null || event.type.startsWith('user.')) continue;
    // The session's rest belongs to the end of the turn that came before it.
    if (over.has(turn) && event.type !== 'session.status_idle') found.push(`${event.type} (seq ${event.seq}) after the end of ${turn}`);
    if (current !== undefined && current !== turn) found.push(`${event.type} (seq ${event.seq}) of ${turn} while ${current} runs`);
    if (over.has(turn)) continue;
    current = turn;
    if (event.type !== 'turn.ended') continue;
    over.add(turn);
    current = undefined;
  }
  return found;
}

function gaps({ logged }: SessionHistory): string[] {
  const at = logged.findIndex((event, index) => event.seq !== index + 1);
  return at < 0 ? [] : [`place ${at + 1} has seq ${logged[at]?.seq}`];
}

function keys({ sent, logged }: SessionHistory): string[] {
  const found: string[] = [];
  const byId = new Map(logged.map((event) => [event.id, event]));
  for (const one of sent) {
    const [first, ...others] = one.answers.map((ids) => ids.join(' '));
    if (others.some((ids) => ids !== first)) found.push(`the key ${one.key} was answered with different events`);
    if (first === undefined && one.refusal === null) found.push(`the key ${one.key} was never answered`);
    const types = (one.answers[0] ?? []).map((id) => byId.get(id)?.type);
    if (types.some((type) => type !== one.type)) found.push(`the key ${one.key} was answered with events that are not in the log`);
  }
  const expected = sent.flatMap((one) => (one.answers.length > 0 ? one.texts : []));
  const texts = logged.filter(isMessage).map(textOf);
  found.push(...repeated(texts).map((text) => `"${text}" is in the log twice`));
  const known = new Set(expected);
  found.push(...texts.filter((text) => !known.has(text)).map((text) => `"${text}" is in the log, but was never accepted`));
  return found;
}

function streamDifferences({ streamed, logged, streamFailure }: SessionHistory): string[] {
  if (streamFailure !== null) return [`the stream failed: ${streamFailure}`];
  const at = logged.findIndex((event, index) => {
    const seen = streamed[index];
    return seen === undefined || lasting(seen) !== lasting(event);
  });
  if (at >= 0) return [`at place ${at + 1} the log has seq ${logged[at]?.seq}, the stream brought seq ${streamed[at]?.seq ?? 'nothing'}`];
  return streamed.length > logged.length ? [`the stream brought ${streamed.length - logged.length} events too many`] : [];
}

/** The one field that changes after an event was written is left out. */
function lasting({ processed_at: _changes, ...event }: SessionEvent): string {
  return JSON.stringify(event);
}

/** Every message of the load asks for one tool call at most, so a second one is the same again. */
function repeatedTools({ logged }: SessionHistory): string[] {
  const turns = logged.flatMap((event) => (event.type === 'agent.tool_use' && event.turn_id !== null ? [event.turn_id] : []));
  return repeated(turns).map((turn) => `the tool of ${turn} was called again`);
}

/** The fake agent counts the turns of its conversation; one that forgot would begin at one again. */
function memory({ logged }: SessionHistory): string[] {
  const found: string[] = [];
  let before = 0;
  for (const event of logged) {
    if (event.type !== 'agent.message') continue;
    const text = event.content.map((block) => (block.type === 'text' ? block.text : '')).join('');
    const count = /\| turns=(\d+)$/.exec(text)?.[1];
    if (count === undefined) continue;
    if (Number(count) <= before) found.push(`seq ${event.seq} says turns=${count} after turns=${before}`);
    before = Number(count);
  }
  return found;
}

function isEnded(event: SessionEvent): event is Ended {
  return event.type === 'turn.ended';
}

function isMessage(event: SessionEvent): event is UserMessage {
  return event.type === 'user.message';
}

function textOf(event: UserMessage): string {
  return event.content.map((block) => (block.type === 'text' ? block.text : '')).join('');
}

function repeated(values: readonly string[]): string[] {
  const seen = new Set<string>();
  return [...new Set(values.filter((value) => seen.has(value) || !seen.add(value)))];
}

/** The smallest value that `p` percent are not above; 0 of nothing. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((sorted.length * p) / 100) - 1)] ?? 0;
}
