import type { Session } from '@cloister/api';
import { el } from './dom.ts';

export interface SessionList {
  readonly element: HTMLElement;
  show(sessions: readonly Session[], currentId: string | undefined, more?: () => void): void;
}

export function createSessionList(onPick: (id: string) => void): SessionList {
  const element = el('ul', { className: 'sessions', attrs: { 'aria-label': 'Sessions' } });
  return {
    element,
    show(sessions, currentId, more) {
      // Redrawing must not take the focus away from someone who walks the list by keyboard.
      const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.session : undefined;
      const items = sessions.map((session) => el('li', {}, sessionLink(session, session.id === currentId, onPick)));
      if (sessions.length === 0) items.push(el('li', { className: 'muted' }, 'No session yet.'));
      if (more !== undefined)
        items.push(el('li', {}, el('button', { type: 'button', className: 'button plain small', on: { click: more } }, 'Show more')));
      element.replaceChildren(...items);
      if (focused !== undefined) element.querySelector<HTMLElement>(`[data-session="${CSS.escape(focused)}"]`)?.focus();
    },
  };
}

export function titleOf(session: Session): string {
  return session.title === null || session.title === '' ? `Session ${session.id.slice(-6)}` : session.title;
}

function sessionLink(session: Session, isCurrent: boolean, onPick: (id: string) => void): HTMLElement {
  const link = el(
    'button',
    {
      type: 'button',
      className: 'session-link',
      attrs: isCurrent ? { 'aria-current': 'true' } : {},
      on: { click: () => onPick(session.id) },
    },
    el('span', { className: 'title' }, titleOf(session)),
    statusPill(session),
    el('span', { className: 'muted' }, `${session.agent.name} · ${formatWhen(session.updated_at)}`),
  );
  link.dataset.session = session.id;
  return link;
}

function statusPill(session: Session): HTMLElement | undefined {
  if (session.status === 'running') return el('span', { className: 'pill busy' }, 'running');
  if (session.status === 'rescheduling') return el('span', { className: 'pill warn' }, 'retrying');
  if (session.status === 'terminated') return el('span', { className: 'pill' }, 'ended');
  return undefined;
}

function formatWhen(timestamp: string): string {
  const when = new Date(timestamp);
  const isToday = when.toDateString() === new Date().toDateString();
  return when.toLocaleString(undefined, isToday ? { timeStyle: 'short' } : { dateStyle: 'medium' });
}
