import type { Client, Session, Status } from '@cloister/api';
import { createAccountPage } from './account-page.ts';
import { createApprovalsPage } from './approvals-page.ts';
import { createAuditPage } from './audit-page.ts';
import { type Conversation, createConversation } from './conversation.ts';
import { el } from './dom.ts';
import { renderFailure } from './entry-view.ts';
import { explain, isKeyRefused } from './failure.ts';
import { createKeysPage } from './keys-page.ts';
import { openNewSession } from './new-session.ts';
import type { Page } from './page.ts';
import { createPeoplePage } from './people-page.ts';
import { renderSessionHead, showSessionStatus } from './session-head.ts';
import { createSessionList } from './session-list.ts';
import { renderDemoBanner, renderStatus } from './status-panel.ts';
import { createUsagePage } from './usage-page.ts';

const LIST_PAGE = 50;
/** The most that one page of the API holds. */
const LIST_LIMIT = 100;
const REFRESH_MS = 15_000;

/** The page of someone signed in, until the signal ends it. The address names the session, so that reload and back work. */
export async function openApp(root: HTMLElement, client: Client, signal: AbortSignal, signOut: (why?: unknown) => void): Promise<void> {
  const app = createApp(client, signOut);
  root.replaceChildren(app.frame);
  await app.refresh();
  await app.openFromAddress();
  window.addEventListener('hashchange', () => void app.openFromAddress(), { signal });
  const timer = setInterval(() => {
    if (!document.hidden) void app.refresh();
  }, REFRESH_MS);
  signal.addEventListener('abort', () => {
    clearInterval(timer);
    app.close();
  });
}

function createApp(client: Client, signOut: (why?: unknown) => void) {
  const parts = createFrame({ onPick: goTo, onNew: () => void startNew(client).catch(fail) });
  let sessions: readonly Session[] = [];
  let shown = LIST_PAGE;
  let currentId: string | undefined;
  let conversation: Conversation | Page | undefined;

  const fail = (error: unknown) => {
    if (isKeyRefused(error)) signOut(error);
    else parts.setProblem(error);
  };

  async function refresh(): Promise<void> {
    try {
      const [status, page, waiting] = await readAll(client, shown);
      parts.setProblem(undefined);
      parts.setWaiting(waiting.data.length);
      parts.setStatus(status, () => signOut());
      sessions = page.data;
      parts.list.show(sessions, currentId, page.next_page !== null && shown < LIST_LIMIT ? showMore : undefined);
    } catch (error) {
      fail(error);
    }
  }

  function showMore(): void {
    shown += LIST_PAGE;
    void refresh();
  }

  async function openFromAddress(): Promise<void> {
    const page = pageOf(client, refresh, () => signOut());
    if (page !== undefined) return openPage(page);
    const id = /^#\/sessions\/([\w-]+)$/.exec(location.hash)?.[1] ?? sessions[0]?.id;
    parts.closeMenu();
    if (id === currentId && id !== undefined) return;
    conversation?.close();
    conversation = undefined;
    currentId = id;
    if (id === undefined) return parts.showWelcome();
    try {
      const session = await client.sessions.get(id);
      if (currentId === id) open(session);
    } catch (error) {
      fail(error);
    }
    await refresh();
  }

  async function openPage(page: Page): Promise<void> {
    parts.closeMenu();
    conversation?.close();
    conversation = page;
    currentId = undefined;
    parts.showSession(el('h1', {}, page.title), page.elements);
    await Promise.all([page.start(), refresh()]);
  }

  function open(session: Session): void {
    const { head, opened } = converse(client, session, (update) => {
      const all = async () => {
        const fresh = await client.sessions.get(session.id);
        if (currentId === session.id) update(fresh);
        await refresh();
      };
      void all().catch(fail);
    });
    conversation = opened;
    parts.showSession(head, opened.elements);
    void opened.start();
  }

  return { frame: parts.frame, refresh, openFromAddress, close: () => conversation?.close() };
}

async function startNew(client: Client): Promise<void> {
  const session = await openNewSession(client);
  if (session !== undefined) goTo(session.id);
}

/** What the side column shows. */
function readAll(client: Client, shown: number) {
  return Promise.all([
    client.status(),
    client.sessions.list({ limit: shown }),
    client.approvals.list({ limit: LIST_LIMIT, 'states[]': ['pending'] }),
  ]);
}

/** The page that the address names; undefined when it names a session or nothing. */
function pageOf(client: Client, onAnswered: () => Promise<void>, onSignedOut: () => void): Page | undefined {
  if (location.hash === '#/approvals') return createApprovalsPage(client, () => void onAnswered());
  if (location.hash === '#/usage') return createUsagePage(client);
  if (location.hash === '#/keys') return createKeysPage(client);
  if (location.hash === '#/people') return createPeoplePage(client);
  if (location.hash === '#/account') return createAccountPage(client, onSignedOut);
  return location.hash === '#/audit' ? createAuditPage(client) : undefined;
}

/** A session's conversation with its head, which `onChange` is given the way to renew of. */
function converse(
  client: Client,
  session: Session,
  onChange: (update: (session: Session) => void) => void,
): { readonly head: HTMLElement; readonly opened: Conversation } {
  const head = renderSessionHead(session);
  const opened = createConversation({
    client,
    session,
    onChange: () => onChange(head.update),
    onStatus: (status) => showSessionStatus(head.status, status),
  });
  return { head: head.element, opened };
}

function goTo(id: string): void {
  location.hash = `#/sessions/${id}`;
}

interface Frame {
  readonly frame: HTMLElement;
  readonly list: ReturnType<typeof createSessionList>;
  setStatus(status: Status, onSignOut: () => void): void;
  setProblem(error: unknown): void;
  /** How many questions wait for an answer. */
  setWaiting(count: number): void;
  showWelcome(): void;
  showSession(head: HTMLElement, body: readonly HTMLElement[]): void;
  closeMenu(): void;
}

/** The ways to what is no session. */
function createPlaces(): { readonly element: HTMLElement; readonly setWaiting: (count: number) => void } {
  const count = el('span', { className: 'pill warn', hidden: true });
  const element = el(
    'nav',
    { className: 'places', attrs: { 'aria-label': 'Places' } },
    el('a', { href: '#/approvals' }, 'Approvals', count),
    el('a', { href: '#/audit' }, 'Audit'),
    el('a', { href: '#/usage' }, 'Usage'),
    el('a', { href: '#/keys' }, 'Keys'),
    el('a', { href: '#/people' }, 'People'),
    el('a', { href: '#/account' }, 'Account'),
  );
  return {
    element,
    setWaiting(waiting) {
      count.hidden = waiting === 0;
      count.textContent = String(waiting);
    },
  };
}

function createFrame(handlers: { readonly onPick: (id: string) => void; readonly onNew: () => void }): Frame {
  const list = createSessionList(handlers.onPick);
  const statusSlot = el('div', {});
  const banners = el('div', { className: 'banners', attrs: { 'aria-live': 'polite' } });
  const demo = el('div', {});
  const problem = el('div', {});
  banners.append(demo, problem);
  const names = el('div', { className: 'names' });
  const menu = el('button', { type: 'button', className: 'button small menu', attrs: { 'aria-expanded': 'false' } }, 'Sessions');
  const places = createPlaces();
  const newButton = (label: string) => el('button', { type: 'button', className: 'button primary', on: { click: handlers.onNew } }, label);
  const main = el('main', { className: 'main' });
  const side = el(
    'aside',
    { className: 'side' },
    el(
      'div',
      { className: 'side-head' },
      el('div', { className: 'brand' }, el('span', { className: 'mark', attrs: { 'aria-hidden': 'true' } }), 'Cloister'),
      el('a', { href: '/docs', className: 'hint' }, 'API'),
    ),
    newButton('New session'),
    places.element,
    list.element,
    statusSlot,
  );
  const frame = el('div', { className: 'frame' }, side, main);
  const setMenu = (isOpen: boolean) => {
    frame.classList.toggle('menu-open', isOpen);
    menu.setAttribute('aria-expanded', String(isOpen));
  };
  menu.addEventListener('click', () => setMenu(!frame.classList.contains('menu-open')));
  main.addEventListener('click', (event) => {
    if (event.target !== menu) setMenu(false);
  });
  const show = (head: HTMLElement, body: readonly HTMLElement[]) => {
    names.replaceChildren(head);
    main.replaceChildren(el('header', { className: 'main-head' }, menu, names), banners, ...body);
  };
  return {
    frame,
    list,
    setStatus(status, onSignOut) {
      // It is shown anew every few seconds: what somebody unfolded stays so.
      const isOpen = statusSlot.querySelector('details')?.open ?? false;
      statusSlot.replaceChildren(renderStatus(status, onSignOut));
      const details = statusSlot.querySelector('details');
      if (details !== null) details.open = isOpen;
      demo.replaceChildren(...(status.is_demo ? [renderDemoBanner()] : []));
    },
    setWaiting: places.setWaiting,
    setProblem(error) {
      problem.replaceChildren(...(error === undefined ? [] : [renderFailure(explain(error))]));
    },
    showWelcome() {
      const welcome = el(
        'div',
        { className: 'empty' },
        el('h2', {}, 'Start your first session'),
        el('p', { className: 'muted' }, 'A session is a conversation with an agent that works in a container of its own.'),
        newButton('New session'),
      );
      show(el('h1', {}, 'Cloister'), [welcome]);
    },
    showSession: show,
    closeMenu: () => setMenu(false),
  };
}
