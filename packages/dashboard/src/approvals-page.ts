import type { Approval, ApprovalAnswer, Client } from '@cloister/api';
import { el } from './dom.ts';
import { fullInput, renderFailure } from './entry-view.ts';
import { explain } from './failure.ts';
import type { Page } from './page.ts';

const LIMIT = 50;
const REFRESH_MS = 5000;

/** What waits for a person's answer, and what was decided lately. */
export function createApprovalsPage(client: Client, onAnswered: () => void): Page {
  const open = el('div', { className: 'cards' });
  const decided = el('div', { className: 'cards' });
  const problem = el('div', {});
  const answering = new Set<string>();

  async function load(): Promise<void> {
    const [waiting, all] = await Promise.all([
      client.approvals.list({ limit: LIMIT, 'states[]': ['pending'], order: 'asc' }),
      client.approvals.list({ limit: LIMIT, 'states[]': ['allowed', 'denied', 'expired'] }),
    ]);
    // Somebody may be about to write a reason.
    if (answering.size > 0 || open.contains(document.activeElement)) return;
    open.replaceChildren(
      ...(waiting.data.length === 0
        ? [el('p', { className: 'muted' }, 'Nothing waits for an answer.')]
        : waiting.data.map((one) => renderQuestion(one, (answer) => send(one.id, answer)))),
    );
    decided.replaceChildren(
      ...(all.data.length === 0 ? [el('p', { className: 'muted' }, 'Nothing was decided yet.')] : all.data.map(renderDecided)),
    );
  }

  async function send(id: string, answer: ApprovalAnswer): Promise<void> {
    answering.add(id);
    try {
      await client.approvals.answer(id, answer);
      problem.replaceChildren();
    } catch (error) {
      problem.replaceChildren(renderFailure(explain(error)));
    } finally {
      answering.delete(id);
      if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
      await refresh();
      onAnswered();
    }
  }

  const refresh = (): Promise<void> => load().catch((error: unknown) => problem.replaceChildren(renderFailure(explain(error))));
  const timer = setInterval(() => void refresh(), REFRESH_MS);
  return {
    title: 'Approvals',
    elements: [
      el('div', { className: 'scroll' }, el('div', { className: 'page' }, problem, open, el('h2', {}, 'Decided lately'), decided)),
    ],
    start: refresh,
    close: () => clearInterval(timer),
  };
}

function renderQuestion(approval: Approval, send: (answer: ApprovalAnswer) => Promise<void>): HTMLElement {
  const { tool } = approval;
  const reason = el('input', { type: 'text', placeholder: 'Reason, for the agent', attrs: { 'aria-label': 'Reason for denying' } });
  const raise = el('input', { type: 'number', min: '0', step: 'any', placeholder: 'Raise by', attrs: { 'aria-label': 'Raise by' } });
  const button = (label: string, kind: string, answerOf: () => ApprovalAnswer) =>
    el(
      'button',
      {
        type: 'button',
        className: `button small ${kind}`,
        on: {
          click: () => {
            for (const one of buttons) one.disabled = true;
            void send(answerOf());
          },
        },
      },
      label,
    );
  const deny = button(tool === null ? 'Stop' : 'Deny', 'danger', () => ({
    decision: 'deny',
    ...(reason.value.trim() === '' ? {} : { message: reason.value.trim() }),
  }));
  const buttons =
    tool === null
      ? [button('Raise', 'primary', () => ({ decision: 'allow', raise: Number(raise.value) })), deny]
      : [
          button('Allow', 'primary', () => ({ decision: 'allow' })),
          button('Allow for this session', '', () => ({ decision: 'allow', scope: 'session' })),
          deny,
        ];
  return el(
    'div',
    { className: 'permission', attrs: { role: 'group', 'aria-label': `Approval of ${tool?.name ?? 'a budget'}` } },
    el('div', { className: 'spread' }, el('div', {}, ...asked(approval)), sessionLink(approval)),
    el('pre', { tabIndex: 0 }, fullInput(tool?.input ?? approval.budget ?? {})),
    tool !== null && tool.rule !== null && el('div', { className: 'hint' }, `Asked by ${tool.rule}`),
    approval.expires_at !== null && el('div', { className: 'hint' }, `Counts as denied after ${formatTime(approval.expires_at)}`),
    el('div', { className: 'row wrap' }, tool === null && raise, ...buttons, reason),
  );
}

function asked({ tool }: Approval): (Node | string)[] {
  if (tool === null) return ['A turn needs ', el('strong', {}, 'more budget'), '.'];
  return ['The agent asks to use ', el('strong', {}, tool.name), '.'];
}

function sessionLink({ session_id: id }: Approval): HTMLElement {
  return el('a', { href: `#/sessions/${id}`, className: 'hint' }, `Session ${id.slice(-6)}`);
}

const PILLS: Readonly<Record<Approval['state'], string>> = {
  pending: 'pill warn',
  allowed: 'pill good',
  denied: 'pill bad',
  expired: 'pill warn',
  cancelled: 'pill',
};

function renderDecided(approval: Approval): HTMLElement {
  const { tool, answer, state } = approval;
  const scope = answer?.scope === 'session' ? ', for the session' : '';
  const raised = answer?.raise == null ? '' : `, raised by ${answer.raise}`;
  return el(
    'details',
    { className: 'tool' },
    el(
      'summary',
      {},
      el('span', { className: 'name' }, tool?.name ?? 'budget'),
      el('span', { className: 'brief' }, answer === null ? '' : `${answer.by} · ${formatTime(answer.at)}${scope}${raised}`),
      el('span', { className: PILLS[state] }, state),
    ),
    el(
      'div',
      { className: 'tool-body' },
      el('pre', { tabIndex: 0 }, fullInput(tool?.input ?? approval.budget ?? {})),
      answer?.message != null && el('div', { className: 'hint' }, answer.message),
      sessionLink(approval),
    ),
  );
}

function formatTime(timestamp: string): string {
  return new Date(timestamp).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
}
