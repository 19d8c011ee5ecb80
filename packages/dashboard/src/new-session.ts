import type { Backend, SessionInfo } from './backend.ts';
import { el } from './dom.ts';
import { renderFailure } from './entry-view.ts';
import { explain } from './failure.ts';

interface Choice {
  readonly id: string;
  readonly name: string;
}

/** Opens the dialog; resolves to the new session, or to undefined when it was closed. */
export async function openNewSession(backend: Backend): Promise<SessionInfo | undefined> {
  const [agents, environments] = await Promise.all([backend.listAgents(), backend.listEnvironments()]);
  const agent = picker('agent', agents, 'Assistant, with the defaults of this installation');
  const environment = picker('environment', environments, 'Standard sandbox, without network');
  const title = el('input', { name: 'title', maxLength: 200, placeholder: 'Optional' });
  const problem = el('div', {});
  const create = el('button', { type: 'submit', className: 'button primary' }, 'Start');
  const cancel = el('button', { type: 'button', className: 'button' }, 'Cancel');
  const form = el(
    'form',
    { method: 'dialog' },
    el('h2', {}, 'New session'),
    el('label', { className: 'field' }, el('span', {}, 'Agent'), agent),
    el('label', { className: 'field' }, el('span', {}, 'Environment'), environment),
    el('label', { className: 'field' }, el('span', {}, 'Title'), title),
    problem,
    el('div', { className: 'actions' }, cancel, create),
  );
  const dialog = el('dialog', { attrs: { 'aria-label': 'New session' } }, form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    let made: SessionInfo | undefined;
    const submit = async () => {
      create.disabled = true;
      try {
        made = await backend.createSession({ agent: agent.value, environment: environment.value, title: title.value.trim() });
        dialog.close();
      } catch (error) {
        problem.replaceChildren(renderFailure(explain(error)));
        create.disabled = false;
      }
    };
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      void submit();
    });
    cancel.addEventListener('click', () => dialog.close());
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(made);
    });
  });
}

/** With nothing to pick from, the first entry makes the standard one. */
function picker(name: string, choices: readonly Choice[], fallback: string): HTMLSelectElement {
  const options = choices.map((choice) => el('option', { value: choice.id }, choice.name));
  if (options.length === 0) options.push(el('option', { value: '' }, fallback));
  return el('select', { name }, ...options);
}
