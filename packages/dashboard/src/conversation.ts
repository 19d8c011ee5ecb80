import type { Client, EventParam, Session, SessionEvent } from '@cloister/api';
import { createComposer } from './composer.ts';
import { el } from './dom.ts';
import { type Decide, renderFailure } from './entry-view.ts';
import { explain } from './failure.ts';
import { applyEvent, EMPTY_TRANSCRIPT, type Transcript } from './transcript.ts';
import { createTranscriptView } from './transcript-view.ts';

export interface Conversation {
  readonly elements: readonly HTMLElement[];
  /** Loads what happened, then follows what happens, until closed. */
  start(): Promise<void>;
  close(): void;
}

export interface ConversationDeps {
  readonly client: Client;
  readonly session: Session;
  /** The session's row may have changed: its title, status or usage. */
  onChange(): void;
  onStatus(status: Transcript['status']): void;
}

const PAGE = 300;

export function createConversation(deps: ConversationDeps): Conversation {
  const { client, session } = deps;
  const closing = new AbortController();
  const problem = el('div', { className: 'composer' });
  /** What is in the log, in order; the transcript is made from it and from previews. */
  let log: SessionEvent[] = [];
  let transcript = EMPTY_TRANSCRIPT;
  /**
   * Accepted, and perhaps not yet seen on the stream. Only the stream, which has the log's order, changes the
   * transcript; what was sent stands at its end until it comes by there.
   */
  let sent: readonly SessionEvent[] = [];

  const fail = (error: unknown) => {
    if (!closing.signal.aborted) problem.replaceChildren(renderFailure(explain(error)));
  };
  const send = async (event: EventParam) => {
    problem.replaceChildren();
    sent = [...sent, ...(await client.events.send(session.id, [event])).data];
    show(transcript);
    view.follow();
  };
  const sendOrSay = (event: EventParam) =>
    send(event).catch((error: unknown) => {
      fail(error);
      throw error;
    });
  const view = createTranscriptView((toolUseId, answer) => sendOrSay(confirmationOf(toolUseId, answer)));
  const composer = createComposer({
    send: (text) => sendOrSay({ type: 'user.message', content: [{ type: 'text', text }] }),
    stop: () => sendOrSay({ type: 'user.interrupt' }),
  });

  function take(event: SessionEvent): void {
    log.push(event);
    if (event.type === 'user.message') view.setTop(undefined);
    show(applyEvent(transcript, event));
    if (event.type === 'turn.ended' || event.type === 'session.updated') deps.onChange();
  }

  function show(next: Transcript): void {
    transcript = next;
    sent = sent.filter((event) => event.type === 'user.message' && !log.some((one) => one.id === event.id));
    view.show({ ...transcript, entries: sent.reduce(applyEvent, transcript).entries });
    composer.setBusy(transcript.status === 'running' || transcript.status === 'waiting' || transcript.status === 'rescheduling');
    composer.setClosed(transcript.status === 'terminated' || session.archived_at !== null);
    deps.onStatus(transcript.status);
  }

  async function loadEarlier(page?: string): Promise<void> {
    const { data, next_page: next } = await client.events.list(session.id, { order: 'desc', limit: PAGE, page });
    if (closing.signal.aborted) return;
    log = [...data.toReversed(), ...log];
    show(log.reduce(applyEvent, EMPTY_TRANSCRIPT));
    view.setTop(next === null ? undefined : earlierButton(() => void loadEarlier(next).catch(fail)));
    if (page === undefined && log.length === 0) view.setTop(ideas((text) => composer.setText(text)));
  }

  return {
    elements: [view.element, el('div', {}, problem, composer.element)],
    async start() {
      try {
        await loadEarlier();
        view.follow();
        composer.focus();
        const input = { after: log.at(-1)?.seq ?? 0, deltas: ['agent.message', 'agent.thinking'], signal: closing.signal } as const;
        for await (const item of client.events.stream(session.id, input)) {
          if (item.type === 'event') take(item.event);
          else if (item.type === 'preview') show(applyEvent(transcript, item.preview));
        }
      } catch (error) {
        fail(error);
      }
    },
    close: () => closing.abort(),
  };
}

function confirmationOf(toolUseId: string, answer: Parameters<Decide>[1]): EventParam {
  const result = answer === 'deny' ? 'deny' : 'allow';
  return { type: 'user.tool_confirmation', tool_use_id: toolUseId, result, ...(answer === 'session' ? { scope: 'session' } : {}) };
}

function earlierButton(load: () => void): HTMLElement {
  const button = el('button', { type: 'button', className: 'button small plain' }, 'Show earlier messages');
  button.addEventListener('click', () => {
    button.disabled = true;
    load();
  });
  return el('div', { className: 'outcome' }, button);
}

const IDEAS = ['Run uname -a', 'Write notes.txt: hello', 'Read notes.txt'];

function ideas(pick: (text: string) => void): HTMLElement {
  return el(
    'div',
    { className: 'empty' },
    el('h2', {}, 'What shall the agent do?'),
    el(
      'p',
      { className: 'muted' },
      'It works in its own container, without network unless its environment allows some. Nothing you send is lost.',
    ),
    el(
      'div',
      { className: 'ideas' },
      ...IDEAS.map((idea) => el('button', { type: 'button', className: 'button small', on: { click: () => pick(idea) } }, idea)),
    ),
  );
}
