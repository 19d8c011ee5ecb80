import { el, setText } from './dom.ts';
import { type Decide, renderEntry } from './entry-view.ts';
import type { Entry, Transcript } from './transcript.ts';

export interface TranscriptView {
  readonly element: HTMLElement;
  /** Shows the transcript soon; many calls in one moment draw once. */
  show(transcript: Transcript): void;
  /** Puts something above the conversation, such as a button for earlier events. */
  setTop(node: HTMLElement | undefined): void;
  /** Goes to the end with the next drawing and stays there. */
  follow(): void;
}

interface Drawn {
  readonly entry: Entry;
  readonly node: HTMLElement;
}

/** How close to the end still counts as reading along. */
const FOLLOW_PX = 60;

export function createTranscriptView(decide: Decide): TranscriptView {
  const list = el('div', { className: 'transcript', attrs: { role: 'log', 'aria-label': 'Conversation', 'aria-live': 'off' } });
  const working = el('div', { className: 'working', hidden: true }, el('span', { className: 'spinner' }), el('span', {}));
  const top = el('div', {});
  // Streamed text read out piece by piece would be noise: assistive technology hears what is finished.
  const announcer = el('div', { className: 'visually-hidden', attrs: { 'aria-live': 'polite' } });
  const element = el('div', { className: 'scroll', tabIndex: -1 }, list, announcer);
  list.append(top, working);
  let drawn = new Map<string, Drawn>();
  let pending: Transcript | undefined;
  let shown: Transcript | undefined;
  let isFirst = true;
  let mustFollow = false;

  const draw = () => {
    const transcript = pending ?? shown;
    pending = undefined;
    if (transcript === undefined) return;
    shown = transcript;
    const isFollowing = mustFollow || element.scrollHeight - element.scrollTop - element.clientHeight < FOLLOW_PX;
    const next = new Map<string, Drawn>();
    for (const entry of transcript.entries) next.set(entry.id, drawEntry(entry, drawn.get(entry.id), decide));
    for (const [id, old] of drawn) if (next.get(id)?.node !== old.node) old.node.remove();
    let before: Element = top;
    for (const { node } of next.values()) {
      if (before.nextElementSibling !== node) before.after(node);
      before = node;
    }
    if (!isFirst) announce(announcer, drawn, next);
    drawn = next;
    isFirst = false;
    showWork(working, transcript);
    mustFollow = false;
    if (isFollowing) element.scrollTop = element.scrollHeight;
  };

  return {
    element,
    show(transcript) {
      if (pending === undefined) requestAnimationFrame(draw);
      pending = transcript;
    },
    setTop(node) {
      top.replaceChildren(...(node === undefined ? [] : [node]));
    },
    follow() {
      mustFollow = true;
      requestAnimationFrame(draw);
    },
  };
}

function drawEntry(entry: Entry, old: Drawn | undefined, decide: Decide): Drawn {
  if (old?.entry === entry) return old;
  const node = renderEntry(entry, decide);
  // A tool call that the reader has opened stays open when its result arrives.
  if (old?.node instanceof HTMLDetailsElement && node instanceof HTMLDetailsElement) node.open = old.node.open;
  return { entry, node };
}

function showWork(working: HTMLElement, { status, entries, isThinking }: Transcript): void {
  const last = entries.at(-1);
  const isStreaming = last?.type === 'agent' && last.isStreaming && last.text !== '';
  working.hidden = !(status === 'running' || status === 'rescheduling') || isStreaming;
  const label = working.lastElementChild;
  if (label !== null) setText(label, isThinking ? 'Thinking …' : status === 'rescheduling' ? 'Waiting to try again …' : 'Working …');
}

function announce(announcer: HTMLElement, before: ReadonlyMap<string, Drawn>, now: ReadonlyMap<string, Drawn>): void {
  for (const [id, { entry }] of now) {
    if (before.get(id)?.entry === entry) continue;
    if (entry.type === 'agent' && !entry.isStreaming) announcer.textContent = entry.text;
    if (entry.type === 'tool' && entry.state === 'asking') announcer.textContent = `The agent asks to use ${entry.name}.`;
  }
}
