import { percentile } from './checker.ts';
import type { TortureResult } from './run.ts';

/** What a run was and what came of it, for a person. */
export function describe(result: TortureResult, options: { readonly seed: number; readonly kills: number }): string {
  const { history, violations, requests } = result;
  const { readyMs } = history;
  const sent = history.sessions.flatMap((session) => session.sent);
  const accepted = (type: string): number =>
    sent.filter((one) => one.type === type).reduce((sum, one) => sum + (one.answers[0]?.length ?? 0), 0);
  const logged = history.sessions.flatMap((session) => session.logged);
  const outcomes = new Map<string, number>();
  for (const event of logged) if (event.type === 'turn.ended') outcomes.set(event.outcome, (outcomes.get(event.outcome) ?? 0) + 1);
  const rescheduled = logged.filter((event) => event.type === 'session.status_rescheduled').length;
  const refused = sent.filter((one) => one.refusal !== null).length;
  return [
    `seed ${options.seed}, ${options.kills} kills (${result.killsBeforeReady} of them before the server was ready), ${(result.tookMs / 1000).toFixed(1)} s`,
    `accepted: ${accepted('user.message')} messages, ${accepted('user.interrupt')} interrupts, ${accepted('user.tool_confirmation')} confirmations; ${refused} refused`,
    `requests: ${requests.tries}, of which ${requests.unanswered} got no answer; ${result.connections} streams; ${logged.length} events`,
    `outcomes: ${[...outcomes].map(([name, count]) => `${name} ${count}`).join(', ')}; runs begun again: ${rescheduled}`,
    `ready after a start: p50 ${percentile(readyMs, 50).toFixed(0)} ms, p99 ${percentile(readyMs, 99).toFixed(0)} ms, most ${Math.max(...readyMs).toFixed(0)} ms`,
    `violations: ${violations.length}`,
    ...violations.slice(0, 50).map(({ rule, sessionId, detail }) => `  ${rule}: ${detail}${sessionId === null ? '' : ` (${sessionId})`}`),
    ...(result.keptIn === undefined ? [] : [`data and log are kept in ${result.keptIn}`]),
  ].join('\n');
}
