import { delay } from '../../base/clock.ts';
import type { ExitReport, SandboxRef, WatchOptions } from '../driver.ts';
import type { DockerContext } from './context.ts';
import { wasOutOfMemory } from './exit.ts';
import { exitReport } from './exit-report.ts';
import { unexpectedAnswer } from './failures.ts';
import { readJsonLines } from './json-lines.ts';
import { containerRef, INSTALLATION_LABEL, parseLabels } from './profile.ts';
import { type EngineEvent, parseEvent } from './wire.ts';

const PAUSE_EVENT = 'pause';

export type OnExit = (exit: { readonly ref: SandboxRef; readonly report: ExitReport }) => void;

const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5000;
const NANOS_PER_SECOND = 1_000_000_000;

/**
 * Follows the engine's events. After a broken stream it asks from the last event on, which the engine
 * repeats, so one is told apart by its time and container. An engine remembers few events and none
 * across its own restart: the reconciler's listing repairs what is missed here.
 */
export async function watchContainers(
  docker: DockerContext,
  installation: string,
  options: { readonly onExit: OnExit } & WatchOptions,
): Promise<void> {
  const stop = AbortSignal.any([options.signal, docker.closing]);
  const seen = { sinceNano: docker.clock.now() * 1e6, ids: new Set<string>() };
  let retryMs = FIRST_RETRY_MS;
  while (!stop.aborted) {
    try {
      for await (const event of readEvents(docker, installation, { sinceNano: seen.sinceNano, signal: stop })) {
        retryMs = FIRST_RETRY_MS;
        const key = `${event.id} ${event.timeNano}`;
        if (seen.ids.has(key)) continue;
        if (event.timeNano > seen.sinceNano) {
          seen.sinceNano = event.timeNano;
          seen.ids.clear();
        }
        seen.ids.add(key);
        await tell(docker, event, options);
      }
    } catch (error) {
      if (!stop.aborted) docker.log.warn({ err: error }, "the engine's event stream broke off; following it again");
    }
    if (!stop.aborted) await delay(docker.clock, retryMs, stop).catch(() => undefined); // an abort ends the loop by its condition
    retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS);
  }
}

async function* readEvents(
  docker: DockerContext,
  installation: string,
  options: { readonly sinceNano: number; readonly signal: AbortSignal },
): AsyncGenerator<EngineEvent> {
  const { quirks } = await docker.engine.address(options.signal);
  const filters = JSON.stringify({
    type: ['container'],
    event: [...quirks.exitEvents, PAUSE_EVENT],
    label: [`${INSTALLATION_LABEL}=${installation}`],
  });
  const query = { since: (options.sinceNano / NANOS_PER_SECOND).toFixed(6), filters };
  const { status, body } = await docker.engine.open({ method: 'GET', path: '/events', query, signal: options.signal });
  for await (const line of readJsonLines(body)) {
    if (status !== 200) throw unexpectedAnswer('follow the events', { status, message: JSON.stringify(line) });
    const event = parseEvent(line);
    if (event !== undefined && (event.action === PAUSE_EVENT || quirks.exitEvents.includes(event.action))) yield event;
  }
}

async function tell(
  docker: DockerContext,
  event: EngineEvent,
  { onExit, onPaused }: { readonly onExit: OnExit } & WatchOptions,
): Promise<void> {
  const labels = parseLabels(event.attributes);
  if (labels === undefined) return;
  if (event.action === PAUSE_EVENT) return onPaused?.(containerRef(labels));
  const { quirks } = await docker.engine.address();
  const code = Number(quirks.exitCodeAttributes.map((name) => event.attributes[name]).find((text) => text !== undefined) ?? 0);
  const isOutOfMemory = await wasOutOfMemory(docker, event.id, code);
  onExit({ ref: containerRef(labels), report: exitReport(code, isOutOfMemory) });
}
