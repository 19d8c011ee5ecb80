import type { AccessRole, Client, Invitation, User } from '@cloister/api';
import { choice, createProblem, form, pageOf, ROLE_CHOICES, renderOnce, renderRow, renderTable, smallButton, when } from './access-page.ts';
import { el } from './dom.ts';
import type { Page } from './page.ts';

const LIMIT = 100;

/** The people of the tenant and who is invited. */
export function createPeoplePage(client: Client): Page {
  const people = el('tbody', {});
  const invited = el('tbody', {});
  const made = el('div', {});
  const { element: problem, attempt } = createProblem();
  const email = el('input', { type: 'email', required: true, placeholder: 'Email address', attrs: { 'aria-label': 'Email' } });
  const role = choice('Role', ROLE_CHOICES, 'member');
  const change = (work: () => Promise<unknown>) => void attempt(() => work().then(load));

  async function load(): Promise<void> {
    const [users, invitations] = await Promise.all([client.users.list({ limit: LIMIT }), client.invitations.list({ limit: LIMIT })]);
    people.replaceChildren(...users.data.map(person));
    invited.replaceChildren(...invitations.data.map(invitation));
    if (users.data.length === 0) people.append(renderRow('Nobody yet.', '', '', '', '', ''));
  }

  function person(user: User): HTMLElement {
    const roles = choice(`Role of ${user.name}`, ROLE_CHOICES, user.role);
    // The values of the choice above.
    roles.addEventListener('change', () => change(() => client.users.update(user.id, { role: roles.value as AccessRole })));
    const isActive = user.status === 'active';
    const status = el('span', { className: isActive ? 'pill good' : 'pill' }, user.status);
    const toggle = () => change(() => client.users.update(user.id, { status: isActive ? 'disabled' : 'active' }));
    const actions = el(
      'div',
      { className: 'row' },
      smallButton(isActive ? 'Disable' : 'Enable', toggle),
      smallButton('Remove', () => change(() => client.users.remove(user.id)), 'button small danger'),
    );
    return renderRow(user.name, user.email, roles, status, when(user.last_sign_in_at), actions);
  }

  function invitation(one: Invitation): HTMLElement {
    const takeBack = () => change(() => client.invitations.remove(one.id));
    return renderRow(one.email, one.role, when(one.expires_at), smallButton('Take back', takeBack));
  }

  async function invite(): Promise<void> {
    // The values of the choice above.
    const created = await client.invitations.create({ email: email.value.trim(), role: role.value as AccessRole });
    made.replaceChildren(
      renderOnce(`Send this link to ${created.email}. It works once, until ${when(created.expires_at)}.`, created.link ?? ''),
    );
    email.value = '';
    await load();
  }

  return {
    title: 'People',
    elements: pageOf(
      form(() => attempt(invite), email, role, el('button', { type: 'submit', className: 'button small primary' }, 'Invite')),
      problem,
      made,
      renderTable(['Name', 'Email', 'Role', 'Status', 'Last sign-in', ''], people),
      el('h2', {}, 'Invited'),
      renderTable(['Email', 'Role', 'Until', ''], invited),
    ),
    start: () => attempt(load),
    close: () => undefined,
  };
}
