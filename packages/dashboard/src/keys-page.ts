import type { AccessRole, ApiKey, ApiKeyCreate, Client } from '@cloister/api';
import { choice, createProblem, form, pageOf, ROLE_CHOICES, renderOnce, renderRow, renderTable, smallButton, when } from './access-page.ts';
import { el } from './dom.ts';
import type { Page } from './page.ts';

const LIMIT = 100;
const DAY_MS = 86_400_000;

/** The API keys of the tenant: what each reaches, and what has become of it. */
export function createKeysPage(client: Client): Page {
  const rows = el('tbody', {});
  const made = el('div', {});
  const { element: problem, attempt } = createProblem();
  const name = el('input', { type: 'text', required: true, placeholder: 'What it is for', attrs: { 'aria-label': 'Name' } });
  const role = choice('Role', ROLE_CHOICES, 'member');
  const agents = choice('Reaches', [['', 'Everything']]);
  const days = choice('Expires', [
    ['', 'Never expires'],
    ['7', 'For 7 days'],
    ['90', 'For 90 days'],
    ['365', 'For a year'],
  ]);

  async function load(): Promise<void> {
    const { data } = await client.keys.list({ limit: LIMIT, include_revoked: true });
    rows.replaceChildren(...data.map(row));
  }

  function row(key: ApiKey): HTMLElement {
    const status = el('span', { className: key.status === 'active' ? 'pill good' : 'pill' }, key.status);
    const revoke = () => void attempt(() => client.keys.revoke(key.id).then(load));
    const action = key.status === 'active' ? smallButton('Revoke', revoke, 'button small danger') : '';
    return renderRow(key.name, key.hint, key.role, reachOf(key), status, when(key.expires_at), when(key.last_used_at), action);
  }

  async function create(): Promise<void> {
    const scope: ApiKeyCreate['scope'] = agents.value === '' ? { type: 'tenant' } : { type: 'agent', agent_id: agents.value };
    const expires = days.value === '' ? undefined : new Date(Date.now() + Number(days.value) * DAY_MS).toISOString();
    // The values of the choice above.
    const body = { name: name.value.trim(), role: role.value as AccessRole, scope, expires_at: expires };
    const created = await client.keys.create(body);
    made.replaceChildren(renderOnce(`The key “${created.name}”. Copy it now: it is not shown again.`, created.key ?? ''));
    name.value = '';
    await load();
  }

  async function start(): Promise<void> {
    await load();
    const { data } = await client.agents.list({ limit: LIMIT });
    agents.append(...data.map((agent) => el('option', { value: agent.id }, `Only the agent ${agent.name}`)));
  }

  return {
    title: 'API keys',
    elements: pageOf(
      form(
        () => attempt(create),
        name,
        role,
        agents,
        days,
        el('button', { type: 'submit', className: 'button small primary' }, 'Create key'),
      ),
      problem,
      made,
      renderTable(['Name', 'Key', 'Role', 'Reaches', 'Status', 'Expires', 'Last used', ''], rows),
    ),
    start: () => attempt(start),
    close: () => undefined,
  };
}

function reachOf({ scope }: ApiKey): string {
  if (scope.type === 'agent') return `agent ${scope.agent_id.slice(-6)}`;
  return scope.type === 'routes' ? scope.groups.join(', ') : 'everything';
}
