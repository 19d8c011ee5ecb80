import { delay } from '../../base/clock.ts';
import type { ExitReport } from '../driver.ts';
import type { DockerContext } from './context.ts';
import { exitReport, SIGKILL_CODE } from './exit-report.ts';
import { errorCode } from './failures.ts';
import { inspectContainer } from './inspect.ts';
import { readJsonLines } from './json-lines.ts';
import { parseEvent, parseWait } from './wire.ts';

/**
 * Says whether the kernel killed something in the container for memory. The flag can come a moment after the
 * exit, and the container may be removed by then; so a SIGKILL without it is looked up among the events,
 * which outlive the container. A SIGKILL alone proves nothing: `stop` sends it too.
 */
export async function wasOutOfMemory(docker: DockerContext, id: string, code: number): Promise<boolean> {
  if ((await inspectContainer(docker, id))?.isOutOfMemory === true) return true;
  const { quirks } = await docker.engine.address();
  if (code !== SIGKILL_CODE || !quirks.hasMemoryEvents) return false;
  const now = docker.clock.now() / 1000;
  const filters = JSON.stringify({ type: ['container'], event: ['oom'], container: [id] });
  // A past `until` makes the engine answer from what it remembers and end the stream.
  const query = { since: Math.floor(now - 3600), until: now.toFixed(6), filters };
  const answer = await docker.engine.open({ method: 'GET', path: '/events', query });
  for await (const line of readJsonLines(answer.body)) if (parseEvent(line)?.id === id) return true;
  return false;
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
    onExit(exitReport(code, await wasOutOfMemory(docker, id, code).catch((error: unknown) => reportUnknownMemory(docker, error))));
  };
  void follow();
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

function reportUnknownMemory(docker: DockerContext, error: unknown): boolean {
  docker.log.warn({ err: error }, 'whether a sandbox ran out of memory could not be found out');
  return false;
}

function ignoreAbort(): void {
  // The loop's condition sees the abort.
}
