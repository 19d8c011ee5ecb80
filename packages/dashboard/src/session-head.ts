import type { Session } from '@cloister/api';
import { el, setText } from './dom.ts';
import { titleOf } from './session-list.ts';
import type { SessionStatus } from './transcript.ts';

export interface SessionHead {
  readonly element: HTMLElement;
  readonly status: HTMLElement;
  update(session: Session): void;
}

export function renderSessionHead(session: Session): SessionHead {
  const title = el('h1', {});
  const about = el('div', { className: 'muted' });
  const status = el('span', { className: 'pill', attrs: { role: 'status' } });
  const update = (fresh: Session) => {
    setText(title, titleOf(fresh));
    setText(about, [fresh.agent.name, fresh.agent.model.id, sandboxOf(fresh), usageOf(fresh)].filter((part) => part !== '').join(' · '));
    about.title = fresh.id;
    document.title = `${titleOf(fresh)} · Cloister`;
  };
  update(session);
  const element = el('div', { className: 'spread' }, el('div', { className: 'names' }, title, about), status);
  return { element, status, update };
}

const LABELS: Readonly<Record<SessionStatus, readonly [label: string, pill: string]>> = {
  idle: ['ready', 'pill good'],
  running: ['working', 'pill busy'],
  waiting: ['waits for you', 'pill warn'],
  rescheduling: ['retrying', 'pill warn'],
  terminated: ['ended', 'pill'],
};

export function showSessionStatus(element: HTMLElement, status: SessionStatus): void {
  const [label, pill] = LABELS[status];
  setText(element, label);
  element.className = pill;
}

/** Only what is not as usual: weaker walls, or an OCI runtime of its own. */
function sandboxOf({ sandbox }: Session): string {
  // Servers before this one do not tell.
  if (sandbox === null || sandbox === undefined) return '';
  const walls = sandbox.isolation === 'container' ? '' : `isolation: ${sandbox.isolation}`;
  return [walls, sandbox.runtime_class ?? ''].filter((part) => part !== '').join(', ');
}

function usageOf({ usage }: Session): string {
  const cached = usage.cache_read_input_tokens;
  const input = usage.input_tokens + cached;
  const output = usage.output_tokens;
  if (input + output === 0) return '';
  const format = (count: number) => count.toLocaleString();
  return `${format(input)} tokens in${cached > 0 ? ` (${format(cached)} cached)` : ''}, ${format(output)} out`;
}
