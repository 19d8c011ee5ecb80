import { type Client, ensureAgent, ensureEnvironment, type Session } from '@cloister/api';
import { el } from './dom.ts';
import { renderFailure } from './entry-view.ts';
import { explain } from './failure.ts';

interface Choice {
  readonly id: string;
  readonly name: string;
}

/** Opens the dialog; resolves to the new session, or to undefined when it was closed. */
export async function openNewSession(client: Client): Promise<Session | undefined> {
  // The standard ones first, so that there is always something to pick.
  await Promise.all([ensureAgent(client), ensureEnvironment(client)]);
  const [agents, environments] = await Promise.all([client.agents.list({ limit: 100 }), client.environments.list({ limit: 100 })]);
  const agent = picker('agent', agents.data);
  const environment = picker('environment', environments.data);
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
    let made: Session | undefined;
    const submit = async () => {
      create.disabled = true;
      try {
        made = await client.sessions.create({ agent: agent.value, environment_id: environment.value, title: title.value.trim() || null });
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

function picker(name: string, choices: readonly Choice[]): HTMLSelectElement {
  return el('select', { name }, ...choices.map((choice) => el('option', { value: choice.id }, choice.name)));
}
