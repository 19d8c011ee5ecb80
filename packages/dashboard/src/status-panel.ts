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
      el('dt', {}, 'Isolation'),
      el('dd', {}, el('span', { className: status.isolation === 'container' ? 'pill good' : 'pill bad' }, status.isolation)),
      ...row('Model', status.model),
      ...row('Harness', status.harness),
      ...row('Version', status.version),
    ),
    renderWalls(status),
  );
}

/** What the runtime holds and what it does not, folded away: it seldom changes. */
function renderWalls({ capabilities, stages, runtime_reason: reason }: Status): HTMLElement {
  const { runtime_classes: classes, default_runtime_class: own, limits, egress, workspace_quota: quota } = capabilities;
  const row = (name: string, value: string) => [el('dt', {}, name), el('dd', { title: value }, value)];
  const told = STAGE_NAMES.flatMap(([stage, name]) => {
    const known = stages[stage];
    return known === undefined ? [] : [[name, `${Math.round(known.p50_ms)} ms`] as const];
  });
  return el(
    'details',
    {},
    el('summary', { className: 'hint' }, 'Walls and timings'),
    el(
      'dl',
      {},
      ...row('Why', reason),
      ...row('Limits', limits ? 'enforced' : 'not enforced'),
      ...row('Network', egress === 'gateway' ? 'gateway only' : 'open'),
      ...row('Disk quota', quota),
      ...(classes.length === 0 ? [] : row('Classes', `${classes.join(', ')}${own === null ? '' : ` (${own})`}`)),
      ...told.flatMap(([name, value]) => row(name, value)),
    ),
  );
}

const STAGE_NAMES: readonly (readonly [stage: keyof Status['stages'], name: string])[] = [
  ['queue', 'Queue'],
  ['room', 'Room'],
  ['prepare', 'Prepare'],
  ['image', 'Image'],
  ['create', 'Create'],
  ['attach', 'Attach'],
  ['start', 'Start'],
  ['ready', 'Agent ready'],
  ['wake', 'Wake'],
  ['first_token', 'First word'],
];

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
