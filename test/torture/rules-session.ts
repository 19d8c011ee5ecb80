// What is looked for in the history of one session. Each function answers what it found, in words.
import { isToolUse, type SessionEvent } from '../../packages/api/src/index.ts';
import type { SessionHistory } from './history.ts';

type Ended = Extract<SessionEvent, { type: 'turn.ended' }>;
type UserMessage = Extract<SessionEvent, { type: 'user.message' }>;

export function lostMessages({ sent, logged }: SessionHistory): string[] {
  const ended = new Set(logged.filter(isEnded).map((event) => event.event_id));
  const accepted = sent.filter((one) => one.type === 'user.message').flatMap((one) => one.answers[0] ?? []);
  return accepted.filter((id) => !ended.has(id)).map((id) => `${id} was accepted and has no turn.ended`);
}

export function doubleOutcomes({ logged }: SessionHistory): string[] {
  const ends = logged.filter(isEnded);
  return [
    ...repeated(ends.map((event) => event.event_id)).map((id) => `${id} has two outcomes`),
    ...repeated(ends.map((event) => event.turn_id ?? '')).map((id) => `the turn ${id} has two outcomes`),
  ];
}

/** Accepted, logged and ended: three orders that must be one. */
export function orderOfTurns({ sent, logged }: SessionHistory): string[] {
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
export function overlaps({ logged }: SessionHistory): string[] {
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

export function gaps({ logged }: SessionHistory): string[] {
  const at = logged.findIndex((event, index) => event.seq !== index + 1);
  return at < 0 ? [] : [`place ${at + 1} has seq ${logged[at]?.seq}`];
}

export function keys({ sent, logged }: SessionHistory): string[] {
  const found: string[] = [];
  const byId = new Map(logged.map((event) => [event.id, event]));
  for (const one of sent) {
    for (const status of one.mismatches) if (status !== 422) found.push(`another body under the key ${one.key} was answered ${status}`);
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

export function streamDifferences({ streamed, logged, streamFailure }: SessionHistory): string[] {
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
export function repeatedTools({ logged }: SessionHistory): string[] {
  const turns = logged.flatMap((event) => (isToolUse(event) && event.turn_id !== null ? [event.turn_id] : []));
  return repeated(turns).map((turn) => `the tool of ${turn} was called again`);
}

/** The fake agent counts the turns of its conversation; one that forgot would begin at one again. */
export function memory({ logged }: SessionHistory): string[] {
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

export function isEnded(event: SessionEvent): event is Ended {
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

/** Where an attempt at a turn may begin, or go on after a question. */
const NEW_ATTEMPT: ReadonlySet<string> = new Set(['session.status_rescheduled', 'session.status_running', 'session.status_idle']);

/** The fake agent says one thing for each message. A second one in one attempt was written by a run that had lost its lease. */
export function staleAnswers({ logged }: SessionHistory): string[] {
  const found: string[] = [];
  let said: string | null = null;
  for (const event of logged) {
    if (NEW_ATTEMPT.has(event.type) || event.type === 'turn.ended') said = null;
    if (event.type !== 'agent.message') continue;
    if (event.turn_id === null) found.push(`seq ${event.seq} was said in no turn`);
    else if (said === event.turn_id) found.push(`seq ${event.seq} is a second answer in one attempt of ${event.turn_id}`);
    said = event.turn_id;
  }
  return found;
}

/** The most messages that were accepted and had not ended, at any moment, by the log. */
export function mostOpen(logged: readonly SessionEvent[]): number {
  let open = 0;
  let most = 0;
  for (const event of logged) {
    if (isMessage(event)) open += 1;
    if (isEnded(event)) open -= 1;
    most = Math.max(most, open);
  }
  return most;
}
