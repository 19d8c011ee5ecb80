import { RULES, type Rule } from './checker.ts';
import { percentile } from './percentile.ts';
import type { TortureResult } from './run.ts';

export interface Described {
  readonly seed: number;
  readonly kills: number;
  readonly store?: string;
  readonly servers?: number;
}

/** What a run was and what came of it, for a person. */
export function report(result: TortureResult, options: Described): string {
  const { history, violations, requests, faults } = result;
  const { store = 'sqlite', servers = 1 } = options;
  const counts = [...faults.counts].map(([name, count]) => `${name} ${count}`).join(', ');
  return [
    `seed ${options.seed}, ${store}, ${servers} server${servers === 1 ? '' : 's'}, ${options.kills} faults (${counts || 'none'}), ${(result.tookMs / 1000).toFixed(1)} s`,
    ...loadLines(result),
    `requests: ${requests.tries}, of which ${requests.unanswered} got no answer and ${requests.refused} were told to come again; ${result.connections} streams`,
    readyLine(result),
    ...recoveryLines(result),
    ...stopLine(result),
    ...webhookLine(result),
    `violations: ${violations.length}`,
    ...ruleLines(result),
    ...violations.slice(0, 50).map(({ rule, sessionId, detail }) => `  ${rule}: ${detail}${sessionId === null ? '' : ` (${sessionId})`}`),
    ...(history.integrity === null ? [] : [`integrity check of the database: ${history.integrity}`]),
    ...(result.keptIn === undefined ? [] : [`data and log are kept in ${result.keptIn}`]),
  ].join('\n');
}

function loadLines({ history }: TortureResult): string[] {
  const sent = history.sessions.flatMap((session) => session.sent);
  const accepted = (type: string): number =>
    sent.filter((one) => one.type === type).reduce((sum, one) => sum + (one.answers[0]?.length ?? 0), 0);
  const logged = history.sessions.flatMap((session) => session.logged);
  const ends = logged.flatMap((event) => (event.type === 'turn.ended' ? [event.outcome] : []));
  const outcomes = [...Map.groupBy(ends, (outcome) => outcome)].map(([name, all]) => `${name} ${all.length}`);
  const rescheduled = logged.filter((event) => event.type === 'session.status_rescheduled').length;
  return [
    `accepted: ${accepted('user.message')} messages, ${accepted('user.interrupt')} interrupts, ${accepted('user.tool_confirmation')} confirmations; ${sent.filter((one) => one.refusal !== null).length} refused; ${logged.length} events`,
    `outcomes: ${outcomes.join(', ')}; runs begun again: ${rescheduled}`,
  ];
}

function readyLine({ history: { readyMs }, faults }: TortureResult): string {
  const [p50, p99] = [percentile(readyMs, 50), percentile(readyMs, 99)];
  return `ready after a start: p50 ${p50.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms of ${readyMs.length}; ${faults.killsBeforeReady} kills came before that`;
}

function recoveryLines({ history }: TortureResult): string[] {
  return [...Map.groupBy(history.recoveries, ({ fault }) => fault)].map(([fault, all]) => {
    const ms = all.map((one) => one.ms);
    return `writes again after ${fault}: p50 ${percentile(ms, 50).toFixed(0)} ms, most ${Math.max(...ms).toFixed(0)} ms of ${ms.length}`;
  });
}

function stopLine({ history: { stops } }: TortureResult): string[] {
  return stops.length === 0
    ? []
    : [`stops in order: ${stops.length}, the longest took ${Math.max(...stops.map(({ ms }) => ms)).toFixed(0)} ms`];
}

function webhookLine({ history: { webhooks } }: TortureResult): string[] {
  if (webhooks === null) return [];
  const ids = new Set(webhooks.delivered.map(({ id }) => id)).size;
  return [`webhooks: ${webhooks.delivered.length} requests for ${ids} messages, ${webhooks.deadLetters.length} dead letters`];
}

/** Every rule by its invariant, so that one sees what was looked at. */
function ruleLines({ violations }: TortureResult): string[] {
  const count = (rule: string): number => violations.filter((violation) => violation.rule === rule).length;
  const names = Object.keys(RULES) as Rule[]; // the keys of a literal
  return names.map(
    (rule) => `  ${count(rule) === 0 ? 'kept  ' : 'BROKEN'} ${RULES[rule].padEnd(7)} ${rule}${count(rule) === 0 ? '' : `: ${count(rule)}`}`,
  );
}
