import { el } from './dom.ts';
import { renderFailure } from './entry-view.ts';
import { explain } from './failure.ts';

/** What the pages of keys and people are made of. */

export function renderTable(head: readonly string[], rows: HTMLElement): HTMLElement {
  const titles = head.map((name) => el('th', { scope: 'col' }, name));
  return el('div', { className: 'wide' }, el('table', { className: 'table' }, el('thead', {}, el('tr', {}, ...titles)), rows));
}

export function renderRow(...cells: readonly (string | HTMLElement)[]): HTMLElement {
  return el('tr', {}, ...cells.map((cell) => (typeof cell === 'string' ? el('td', { title: cell }, cell) : el('td', {}, cell))));
}

export function choice(label: string, values: readonly (readonly [value: string, name: string])[], chosen?: string): HTMLSelectElement {
  const options = values.map(([value, name]) => el('option', { value, selected: value === chosen }, name));
  return el('select', { className: 'choice', attrs: { 'aria-label': label } }, ...options);
}

export const ROLE_CHOICES = [
  ['viewer', 'Viewer: reads'],
  ['member', 'Member: also changes'],
  ['admin', 'Admin: also keys and people'],
  ['owner', 'Owner'],
] as const;

/** Something that is shown this once, to be copied. */
export function renderOnce(what: string, secret: string): HTMLElement {
  return el('div', { className: 'notice' }, el('strong', {}, what), el('code', { className: 'once' }, secret));
}

export function smallButton(label: string, run: () => void, className = 'button small'): HTMLButtonElement {
  return el('button', { type: 'button', className, on: { click: run } }, label);
}

/** A place for what goes wrong, and the way to do something that may. */
export function createProblem(): { readonly element: HTMLElement; readonly attempt: (work: () => Promise<void>) => Promise<void> } {
  const element = el('div', {});
  return {
    element,
    async attempt(work) {
      element.replaceChildren();
      try {
        await work();
      } catch (error) {
        element.replaceChildren(renderFailure(explain(error)));
      }
    },
  };
}

export function when(timestamp: string | null, never = 'never'): string {
  return timestamp === null ? never : new Date(timestamp).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
}

export function form(submit: () => Promise<void>, ...children: readonly HTMLElement[]): HTMLFormElement {
  return el(
    'form',
    {
      className: 'row wrap filters',
      on: {
        submit: (event) => {
          event.preventDefault();
          void submit();
        },
      },
    },
    ...children,
  );
}

export function pageOf(...children: readonly HTMLElement[]): readonly HTMLElement[] {
  return [el('div', { className: 'scroll' }, el('div', { className: 'page' }, ...children))];
}
