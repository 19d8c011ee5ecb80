import type { AuditEntry, AuditVerdict, Client } from '@cloister/api';
import { el } from './dom.ts';
import { renderFailure } from './entry-view.ts';
import { explain } from './failure.ts';
import type { Page } from './page.ts';

const LIMIT = 50;

/** Who did what, the newest first, with the proof that nothing of it was changed. */
export function createAuditPage(client: Client): Page {
  const rows = el('tbody', {});
  const more = el('div', { className: 'row' });
  const problem = el('div', {});
  const verdict = el('div', {});
  const action = el('input', { type: 'text', placeholder: 'Action, such as key.created', attrs: { 'aria-label': 'Action' } });
  const subject = el('input', { type: 'text', placeholder: 'Subject, such as an id', attrs: { 'aria-label': 'Subject' } });
  const actor = el('input', { type: 'text', placeholder: 'Actor, such as system', attrs: { 'aria-label': 'Actor' } });

  const say = (error: unknown): void => problem.replaceChildren(renderFailure(explain(error)));
  const given = (input: HTMLInputElement): string | undefined => input.value.trim() || undefined;

  async function load(page?: string): Promise<void> {
    problem.replaceChildren();
    const filters = { 'actions[]': given(action), subject: given(subject), actor: given(actor) };
    const found = await client.audit.list({ limit: LIMIT, page, ...filters });
    if (page === undefined) rows.replaceChildren();
    rows.append(...found.data.map(renderEntry));
    const next = found.next_page;
    more.replaceChildren(
      ...(next === null
        ? []
        : [
            el('button', { type: 'button', className: 'button plain small', on: { click: () => void load(next).catch(say) } }, 'Show more'),
          ]),
    );
  }

  async function prove(): Promise<void> {
    verdict.replaceChildren(el('p', { className: 'muted' }, 'Looking at every entry …'));
    try {
      verdict.replaceChildren(renderVerdict(await client.audit.verify()));
    } catch (error) {
      verdict.replaceChildren();
      say(error);
    }
  }

  const form = el(
    'form',
    {
      className: 'row wrap filters',
      on: {
        submit: (event) => {
          event.preventDefault();
          void load().catch(say);
        },
      },
    },
    action,
    subject,
    actor,
    el('button', { type: 'submit', className: 'button small' }, 'Filter'),
    el('button', { type: 'button', className: 'button small', on: { click: () => void prove() } }, 'Verify'),
  );
  const head = el('tr', {}, ...['#', 'Time', 'Actor', 'Action', 'Subject', 'Detail'].map((name) => el('th', { scope: 'col' }, name)));
  const table = el('table', { className: 'table' }, el('thead', {}, head), rows);
  return {
    title: 'Audit',
    elements: [
      el(
        'div',
        { className: 'scroll' },
        el('div', { className: 'page' }, form, problem, verdict, el('div', { className: 'wide' }, table), more),
      ),
    ],
    start: () => load().catch(say),
    close: () => undefined,
  };
}

function renderEntry(entry: AuditEntry): HTMLElement {
  const detail = entry.detail === null ? '' : JSON.stringify(entry.detail);
  const when = new Date(entry.at).toLocaleString(undefined, { dateStyle: 'short', timeStyle: 'medium' });
  return el(
    'tr',
    {},
    el('td', {}, String(entry.seq)),
    el('td', { title: entry.at }, when),
    el('td', { title: entry.actor }, entry.actor),
    el('td', {}, entry.action),
    el('td', { title: entry.subject }, entry.subject),
    el('td', { title: detail }, detail),
  );
}

function renderVerdict({ intact, entries, findings }: AuditVerdict): HTMLElement {
  const says = intact ? `Intact: ${entries} entries follow each other without a gap.` : 'Somebody has changed the audit.';
  return el(
    'div',
    { className: intact ? 'notice' : 'notice bad', attrs: { role: 'status' } },
    el('strong', {}, says),
    ...findings.map(({ kind, message }) => el('span', {}, `${kind}: ${message}`)),
  );
}
