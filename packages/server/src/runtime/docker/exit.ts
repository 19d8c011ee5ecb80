import { constants } from 'node:os';
import { delay } from '../../base/clock.ts';
import type { ExitReport, OutsideDeed } from '../driver.ts';
import type { DockerContext } from './context.ts';
import type { Engine } from './engine.ts';
import { exitReport, SIGKILL_CODE, SIGNAL_BASE } from './exit-report.ts';
import { errorCode } from './failures.ts';
import { inspectContainer } from './inspect.ts';
import { readJsonLines } from './json-lines.ts';
import { type EngineEvent, parseEvent, parseWait } from './wire.ts';

/**
 * Says whether the kernel killed something in the container for memory. The flag can come a moment after the
 * exit, and the container may be removed by then; so a SIGKILL without it is looked up among the events,
 * which outlive the container. A SIGKILL alone proves nothing: `stop` sends it too.
 */
export async function wasOutOfMemory(docker: DockerContext, id: string, code: number): Promise<boolean> {
  if ((await inspectContainer(docker, id))?.isOutOfMemory === true) return true;
  if (code !== SIGKILL_CODE) return false;
  return (await pastDeeds(docker, id)).some(({ action }) => action === 'oom');
}

/** Kills, for memory or by somebody, of the last hour, the oldest first. Empty where the engine does not keep them. */
async function pastDeeds(docker: DockerContext, nameOrId: string): Promise<readonly EngineEvent[]> {
  const { quirks } = await docker.engine.address();
  if (!quirks.hasMemoryEvents) return [];
  const now = docker.clock.now() / 1000;
  const filters = JSON.stringify({ type: ['container'], event: ['oom', 'kill'], container: [nameOrId] });
  // A past `until` makes the engine answer from what it remembers and end the stream.
  const query = { since: Math.floor(now - 3600), until: now.toFixed(6), filters };
  const answer = await docker.engine.open({ method: 'GET', path: '/events', query });
  const deeds: EngineEvent[] = [];
  for await (const line of readJsonLines(answer.body)) {
    const event = parseEvent(line);
    if (event?.id === nameOrId || event?.attributes.name === nameOrId) deeds.push(event);
  }
  return deeds;
}

/**
 * How a container ended, and whose doing it was. The engine marks a container as being removed, and writes a kill down,
 * before the end itself is told, so that both are seen here. What came last decides.
 */
async function lookIntoEnd(docker: DockerContext, id: string, code: number): Promise<ExitReport> {
  const container = await inspectContainer(docker, id);
  const deeds = await pastDeeds(docker, id);
  const report = exitReport(
    code,
    container?.isOutOfMemory === true || (code === SIGKILL_CODE && deeds.some(({ action }) => action === 'oom')),
  );
  const last = deeds.at(-1);
  if (last?.action === 'oom') return report;
  if (container === undefined || GOING.has(container.status)) return { ...report, outside: 'removed' };
  const outside = deedOf(deeds, code);
  return outside === undefined ? report : { ...report, outside };
}

/** The engine's words for a container that is on its way out. */
const GOING: ReadonlySet<string> = new Set(['removing', 'dead']);
const ASKING_SIGNALS: ReadonlySet<number> = new Set([constants.signals.SIGTERM, constants.signals.SIGINT]);

/** A signal counts when it fits the end: it is the one that the program died of, or one that asks it to leave. */
function deedOf(deeds: readonly EngineEvent[], code: number): OutsideDeed | undefined {
  const signals = deeds.filter(({ action }) => action === 'kill').map(({ attributes }) => Number(attributes.signal));
  if (signals.some((signal) => ASKING_SIGNALS.has(signal))) return 'stopped';
  return signals.some((signal) => SIGNAL_BASE + signal === code) ? 'killed' : undefined;
}

/** The containers whose end is awaited here, and of these the ones that this driver itself ends. */
const awaited = new WeakMap<Engine, Map<string, { isOurDoing: boolean }>>();

function awaitedOf({ engine }: DockerContext): Map<string, { isOurDoing: boolean }> {
  const found = awaited.get(engine) ?? new Map<string, { isOurDoing: boolean }>();
  awaited.set(engine, found);
  return found;
}

/** Called before this driver stops or removes a container, so that it is not taken for somebody else's deed. */
export function noteOurDoing(docker: DockerContext, id: string): void {
  const one = awaitedOf(docker).get(id);
  if (one !== undefined) one.isOurDoing = true;
}

export interface ExitWatch {
  /** Resolves when the engine has registered the watch, so that no later exit is missed. */
  readonly registered: Promise<void>;
  /** Resolves with the container's end; stays open for ever when this client is closed before. */
  readonly exited: Promise<ExitReport>;
}

/** Begun before the start: the report then comes even when the container is removed at once. */
export function watchExit(docker: DockerContext, id: string, signal: AbortSignal): ExitWatch {
  const { promise: registered, resolve: onRegistered, reject: onRefused } = Promise.withResolvers<void>();
  const { promise: exited, resolve: onExit } = Promise.withResolvers<ExitReport>();
  const doing = { isOurDoing: false };
  awaitedOf(docker).set(id, doing);
  const follow = async () => {
    let code = await waitOnce(docker, id, { condition: 'next-exit', signal, onRegistered }).catch((error: unknown) => {
      onRefused(error);
      docker.log.debug({ err: error, container: id }, 'the wait for a sandbox broke off');
      return undefined;
    });
    while (code === undefined && !signal.aborted) {
      code = await waitAgain(docker, id, signal);
      if (code === undefined) await delay(docker.clock, WAIT_AGAIN_MS, signal).catch(ignoreAbort);
    }
    if (code === undefined) return;
    const end = code;
    onExit(await reportEnd(docker, id, { code, isOurDoing: doing.isOurDoing }).catch((error: unknown) => plainEnd(docker, error, end)));
  };
  void follow().finally(() => awaitedOf(docker).get(id) === doing && awaitedOf(docker).delete(id));
  return { registered, exited };
}

const WAIT_AGAIN_MS = 1000;

interface WaitOptions {
  readonly condition: 'next-exit' | 'not-running';
  readonly signal: AbortSignal;
  readonly onRegistered?: () => void;
}

async function waitOnce(docker: DockerContext, id: string, options: WaitOptions): Promise<number | undefined> {
  const query = { condition: options.condition };
  const answer = await docker.engine.open({ method: 'POST', path: `/containers/${id}/wait`, query, signal: options.signal });
  options.onRegistered?.();
  for await (const line of readJsonLines(answer.body)) {
    const code = parseWait(line);
    if (answer.status === 200 && code !== undefined) return code;
  }
  return undefined;
}

/** After a broken connection (an engine that restarted): asks what became of the container meanwhile. */
async function waitAgain(docker: DockerContext, id: string, signal: AbortSignal): Promise<number | undefined> {
  try {
    const container = await inspectContainer(docker, id, signal);
    if (container === undefined) return SIGKILL_CODE;
    // A container that never started has no end yet; the start that failed removes it and we come back here.
    if (container.status === 'created') return undefined;
    return container.isRunning ? await waitOnce(docker, id, { condition: 'not-running', signal }) : container.exitCode;
  } catch (error) {
    if (!signal.aborted) docker.log.debug({ err: error, code: errorCode(error), container: id }, 'the end of a sandbox is not known yet');
    return undefined;
  }
}

async function reportEnd(
  docker: DockerContext,
  id: string,
  { code, isOurDoing }: { readonly code: number; readonly isOurDoing: boolean },
): Promise<ExitReport> {
  return isOurDoing ? exitReport(code, await wasOutOfMemory(docker, id, code)) : lookIntoEnd(docker, id, code);
}

function plainEnd(docker: DockerContext, error: unknown, code: number): ExitReport {
  docker.log.warn({ err: error }, 'whether a sandbox ran out of memory could not be found out');
  return exitReport(code, false);
}

function ignoreAbort(): void {
  // The loop's condition sees the abort.
}
