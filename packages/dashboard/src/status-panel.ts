import type { Status } from '@cloister/api';
import { el } from './dom.ts';

/** What this installation runs on, for the foot of the side column. */
export function renderStatus(status: Status, onSignOut: () => void): HTMLElement {
  const row = (name: string, value: string) => [el('dt', {}, name), el('dd', { title: value }, value)];
  return el(
    'section',
    { className: 'status', attrs: { 'aria-label': 'Status' } },
    el(
      'div',
      { className: 'spread' },
      el('span', { className: pillOf(status.health) }, status.health),
      el('button', { type: 'button', className: 'button plain small', on: { click: onSignOut } }, 'Sign out'),
    ),
    el(
      'dl',
      {},
      ...row('Runtime', status.runtime),
      ...(status.isolation === 'container' ? [] : [...row('Isolation', status.isolation), ...row('Why', status.runtime_reason)]),
      ...row('Model', status.model),
      ...row('Harness', status.harness),
      ...row('Version', status.version),
    ),
  );
}

function pillOf(health: Status['health']): string {
  if (health === 'healthy') return 'pill good';
  return health === 'degraded' ? 'pill warn' : 'pill bad';
}

/** Shown as long as no provider key is set: the answers come from no real model. */
export function renderDemoBanner(): HTMLElement {
  return el(
    'div',
    { className: 'banner' },
    el('strong', {}, 'Demo model. '),
    'The answers follow fixed rules; the tools run for real. For a real model, stop the server, set ',
    el('code', {}, 'ANTHROPIC_API_KEY'),
    ' (or another provider’s key) and start it again.',
  );
}
