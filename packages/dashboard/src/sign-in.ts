import { el } from './dom.ts';
import { renderFailure } from './entry-view.ts';
import { explain } from './failure.ts';

/** Asks for the key until `tryKey` accepts one. */
export function showSignIn(root: HTMLElement, tryKey: (key: string) => Promise<void>, why?: unknown): void {
  const input = el('input', {
    type: 'password',
    name: 'key',
    required: true,
    autocomplete: 'current-password',
    placeholder: 'clst_…',
    spellcheck: false,
    attrs: { autocapitalize: 'none' },
  });
  const problem = el('div', {});
  const button = el('button', { type: 'submit', className: 'button primary' }, 'Sign in');
  const fail = (error: unknown) => problem.replaceChildren(renderFailure(explain(error)));
  const submit = async () => {
    button.disabled = true;
    button.textContent = 'Signing in …';
    problem.replaceChildren();
    try {
      await tryKey(input.value.trim());
    } catch (error) {
      fail(error);
      button.disabled = false;
      button.textContent = 'Sign in';
      input.select();
    }
  };
  const form = el(
    'form',
    {
      on: {
        submit(event) {
          event.preventDefault();
          void submit();
        },
      },
    },
    el('label', { className: 'field' }, el('span', {}, 'API key'), input),
    problem,
    button,
  );
  root.replaceChildren(
    el(
      'main',
      { className: 'sign-in' },
      el(
        'div',
        { className: 'card' },
        el('div', { className: 'brand' }, el('span', { className: 'mark', attrs: { 'aria-hidden': 'true' } }), 'Cloister'),
        el('h1', {}, 'Sign in'),
        form,
        el(
          'p',
          { className: 'hint' },
          'The first key is on the server, in ',
          el('code', {}, 'data/admin.key'),
          '. It stays in this tab and is forgotten when the tab closes.',
        ),
      ),
    ),
  );
  if (why !== undefined) fail(why);
  input.focus();
}
