import type { Client } from '@cloister/api';
import { createProblem, form, pageOf, smallButton } from './access-page.ts';
import { el } from './dom.ts';
import type { Page } from './page.ts';

/** Who is signed in, and what they can do about it. */
export function createAccountPage(client: Client, onSignedOut: () => void): Page {
  const about = el('div', {});
  const own = el('div', { className: 'cards' });
  const { element: problem, attempt } = createProblem();
  const current = password('Current password', 'current-password');
  const next = password('New password', 'new-password');

  async function load(): Promise<void> {
    const me = await client.me();
    const who = me.kind === 'user' ? `${me.name}, ${me.email ?? ''}` : `The API key “${me.name}”`;
    about.replaceChildren(el('p', {}, `${who} · ${me.role} of ${me.tenant.name}${me.is_operator ? ' · runs this installation' : ''}`));
    own.hidden = me.kind !== 'user';
  }

  async function change(): Promise<void> {
    await client.signIn.changePassword({ current: current.value, new: next.value });
    current.value = '';
    next.value = '';
    problem.replaceChildren(el('div', { className: 'notice' }, 'The password is changed; your other browsers are signed out.'));
  }

  async function signOutEverywhere(): Promise<void> {
    await client.signIn.endEverywhere();
    onSignedOut();
  }

  own.append(
    form(() => attempt(change), current, next, el('button', { type: 'submit', className: 'button small' }, 'Change password')),
    smallButton('Sign out everywhere', () => void attempt(signOutEverywhere), 'button small danger'),
  );
  return { title: 'Account', elements: pageOf(about, problem, own), start: () => attempt(load), close: () => undefined };
}

function password(label: string, autocomplete: 'current-password' | 'new-password'): HTMLInputElement {
  return el('input', { type: 'password', required: true, autocomplete, placeholder: label, attrs: { 'aria-label': label } });
}
