import type { SignInMethods } from '@cloister/api';
import { el } from './dom.ts';
import { renderFailure } from './entry-view.ts';
import { explain } from './failure.ts';

export interface SignInWays {
  readonly withKey: (key: string) => Promise<void>;
  readonly withPassword: (email: string, password: string) => Promise<void>;
  /** What this installation offers beside keys; undefined while it does not say. */
  readonly methods: SignInMethods | undefined;
}

/** Asks who it is until one of the ways accepts. */
export function showSignIn(root: HTMLElement, ways: SignInWays, why?: unknown): void {
  const { methods } = ways;
  const problem = el('div', {});
  const key = el('input', {
    type: 'password',
    name: 'key',
    required: true,
    autocomplete: 'current-password',
    placeholder: 'clo_k_…',
    spellcheck: false,
    attrs: { autocapitalize: 'none' },
  });
  const tell = (error: unknown) => problem.replaceChildren(renderFailure(explain(error)));
  const keyForm = createForm({
    button: 'Sign in',
    isPrimary: methods?.password !== true,
    submit: () => ways.withKey(key.value.trim()),
    onFail: (error) => {
      tell(error);
      key.select();
    },
    fields: [field('API key', key)],
  });
  const byPassword = methods?.password === true ? [passwordForm(ways, tell), divider()] : [];
  root.replaceChildren(
    renderCard(
      'Sign in',
      problem,
      ...(methods?.oidc
        ? [el('a', { className: 'button', href: methods.oidc.start }, `Continue with ${methods.oidc.name}`), divider()]
        : []),
      ...byPassword,
      keyForm,
      el(
        'p',
        { className: 'hint' },
        'The first key is on the server, in ',
        el('code', {}, 'data/admin.key'),
        '. A key stays in this tab and is forgotten when the tab closes.',
      ),
    ),
  );
  if (why !== undefined) tell(why);
  root.querySelector('input')?.focus();
}

/** For who follows an invitation. */
export function showJoin(root: HTMLElement, join: (name: string, password: string) => Promise<void>): void {
  const name = el('input', { type: 'text', name: 'name', required: true, autocomplete: 'name' });
  const password = el('input', { type: 'password', name: 'password', required: true, minLength: 12, autocomplete: 'new-password' });
  const problem = el('div', {});
  root.replaceChildren(
    renderCard(
      'Accept the invitation',
      problem,
      createForm({
        button: 'Join',
        isPrimary: true,
        submit: () => join(name.value.trim(), password.value),
        onFail: (error) => problem.replaceChildren(renderFailure(explain(error))),
        fields: [field('Your name', name), field('A password of at least 12 characters', password)],
      }),
    ),
  );
  name.focus();
}

function passwordForm(ways: SignInWays, tell: (error: unknown) => void): HTMLElement {
  const email = el('input', { type: 'email', name: 'email', required: true, autocomplete: 'username' });
  const password = el('input', { type: 'password', name: 'password', required: true, autocomplete: 'current-password' });
  return createForm({
    button: 'Continue',
    isPrimary: true,
    submit: () => ways.withPassword(email.value.trim(), password.value),
    onFail: (error) => {
      tell(error);
      password.select();
    },
    fields: [field('Email', email), field('Password', password)],
  });
}

interface FormInput {
  readonly button: string;
  readonly isPrimary: boolean;
  readonly submit: () => Promise<void>;
  readonly onFail: (error: unknown) => void;
  readonly fields: readonly HTMLElement[];
}

function createForm({ button: label, isPrimary, submit, onFail, fields }: FormInput): HTMLElement {
  const button = el('button', { type: 'submit', className: isPrimary ? 'button primary' : 'button' }, label);
  const send = async () => {
    button.disabled = true;
    button.textContent = 'One moment …';
    try {
      await submit();
    } catch (error) {
      onFail(error);
      button.disabled = false;
      button.textContent = label;
    }
  };
  const onSubmit = (event: Event) => {
    event.preventDefault();
    void send();
  };
  return el('form', { on: { submit: onSubmit } }, ...fields, button);
}

function field(label: string, input: HTMLInputElement): HTMLElement {
  return el('label', { className: 'field' }, el('span', {}, label), input);
}

function divider(): HTMLElement {
  return el('div', { className: 'divider' }, 'or');
}

function renderCard(title: string, ...children: readonly HTMLElement[]): HTMLElement {
  const brand = el('div', { className: 'brand' }, el('span', { className: 'mark', attrs: { 'aria-hidden': 'true' } }), 'Cloister');
  return el('main', { className: 'sign-in' }, el('div', { className: 'card' }, brand, el('h1', {}, title), ...children));
}
