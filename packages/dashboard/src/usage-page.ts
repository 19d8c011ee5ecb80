import type { Budget, Client, UsageReport, UsageSummary } from '@cloister/api';
import { choice, createProblem, form, pageOf, renderRow, renderTable, smallButton } from './access-page.ts';
import { el } from './dom.ts';
import type { Page } from './page.ts';

const LIMIT = 200;
const DAY_MS = 86_400_000;

const GROUPS = [
  ['day', 'By day'],
  ['model', 'By model'],
  ['agent', 'By agent'],
  ['session', 'By session'],
  ['day,model', 'By day and model'],
] as const;
const SPANS = [
  ['7', 'Last 7 days'],
  ['30', 'Last 30 days'],
  ['90', 'Last 90 days'],
  ['', 'All'],
] as const;

/** What models have cost, and the budgets that bound it. */
export function createUsagePage(client: Client): Page {
  const { element: problem, attempt } = createProblem();
  const total = el('p', { className: 'muted' });
  const sums = el('div', {});
  const group = choice('Rows', GROUPS, 'day');
  const span = choice('Days', SPANS, '30');
  const budgets = createBudgets(client, attempt);

  async function load(): Promise<void> {
    const from = span.value === '' ? undefined : dayOf(Date.now() - (Number(span.value) - 1) * DAY_MS);
    const report = await client.usage.report({ group_by: group.value, from, limit: LIMIT, order: 'desc' });
    total.textContent = totalOf(report);
    sums.replaceChildren(renderSums(group.value, report));
  }

  for (const one of [group, span]) one.addEventListener('change', () => void attempt(load));
  return {
    title: 'Usage',
    elements: pageOf(el('div', { className: 'row wrap filters' }, group, span), problem, total, sums, ...budgets.elements),
    start: () => attempt(async () => void (await Promise.all([load(), budgets.load()]))),
    close: () => undefined,
  };
}

function dayOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

function totalOf({ total, currency, next_page: next }: UsageReport): string {
  const estimated = total.estimated_calls === 0 ? '' : `, ${total.estimated_calls} of them estimated`;
  return `${total.cost} ${currency} for ${total.calls} calls${estimated}.${next === null ? '' : ` Shown are the first ${LIMIT} rows.`}`;
}

const NAMES = {
  day: ['Day', (row: UsageSummary) => row.day ?? ''],
  model: ['Model', (row: UsageSummary) => `${row.provider ?? ''}/${row.model ?? ''}`],
  agent: ['Agent', (row: UsageSummary) => row.agent_id ?? ''],
  session: ['Session', (row: UsageSummary) => row.session_id ?? ''],
} as const;

function renderSums(groups: string, { data, currency }: UsageReport): HTMLElement {
  const columns = Object.entries(NAMES).flatMap(([name, column]) => (groups.split(',').includes(name) ? [column] : []));
  const rows = el('tbody', {});
  for (const row of data) {
    const cached = row.cache_read_input_tokens + row.cache_creation_input_tokens;
    const counts = [row.calls, row.input_tokens, cached, row.output_tokens].map((count) => count.toLocaleString());
    rows.append(renderRow(...columns.map(([, read]) => read(row)), ...counts, row.cost));
  }
  return renderTable([...columns.map(([title]) => title), 'Calls', 'Input', 'Cached', 'Output', `Cost (${currency})`], rows);
}

function createBudgets(client: Client, attempt: (work: () => Promise<void>) => Promise<void>) {
  const rows = el('tbody', {});
  const limit = amount('Limit');
  const raise = amount('Raise by');
  const period = choice('Period', [
    ['month', 'Per month'],
    ['day', 'Per day'],
    ['total', 'In all'],
  ]);

  async function load(): Promise<void> {
    const { data } = await client.budgets.list({ limit: 100 });
    rows.replaceChildren(...data.map(row));
  }

  function row(budget: Budget): HTMLElement {
    const { id, scope, subject_id: subject, currency } = budget;
    const money = (value: number) => `${value} ${currency}`;
    const more = () => void attempt(() => client.budgets.raise(id, Number(raise.value || '0')).then(load));
    const remove = () => void attempt(() => client.budgets.remove(id).then(load));
    const actions = el('div', { className: 'row' }, smallButton('Raise', more), smallButton('Delete', remove, 'button small danger'));
    const state = el('span', { className: budget.remaining > 0 ? 'pill good' : 'pill bad' }, money(budget.remaining));
    const spent = `${money(budget.spent)}${budget.reserved === 0 ? '' : ` + ${budget.reserved} reserved`}`;
    return renderRow(
      scope === 'tenant' ? scope : `${scope} ${subject}`,
      budget.period,
      money(budget.limit + budget.raised),
      spent,
      state,
      actions,
    );
  }

  async function create(): Promise<void> {
    // The values of the choice above.
    await client.budgets.create({ scope: 'tenant', period: period.value as Budget['period'], limit: Number(limit.value) });
    limit.value = '';
    await load();
  }

  const add = el('button', { type: 'submit', className: 'button small primary' }, 'Create budget');
  limit.required = true;
  return {
    load,
    elements: [
      el('h2', {}, 'Budgets'),
      form(() => attempt(create), limit, period, add, raise),
      renderTable(['Of', 'Period', 'Limit', 'Spent', 'Left', ''], rows),
    ],
  };
}

function amount(label: string): HTMLInputElement {
  return el('input', { type: 'number', min: '0', step: 'any', placeholder: label, attrs: { 'aria-label': label } });
}
