import { PlatformError } from '../../base/errors.ts';
import type { SandboxIo, SandboxRef, StartOptions } from '../driver.ts';
import type { DockerContext } from './context.ts';
import { type ExitWatch, watchExit } from './exit.ts';
import { startFailure } from './failures.ts';
import { inspectContainer } from './inspect.ts';
import { splitHijacked } from './streams.ts';
import type { Hijacked } from './transport.ts';

/**
 * Attaches and begins to wait for the end, both before the start: so neither the first byte nor a very
 * short life is missed. On any failure the connections are let go; removing the container is the caller's.
 */
export async function startContainer(docker: DockerContext, ref: SandboxRef, { signal, onAttached }: StartOptions): Promise<SandboxIo> {
  await requireFresh(docker, ref, signal);
  const giveUp = new AbortController();
  const exit = watchExit(docker, ref.handle, AbortSignal.any([giveUp.signal, docker.closing]));
  let attached: Hijacked | undefined;
  try {
    attached = await attach(docker, ref, signal);
    if (attached.type === 'refused') throw startFailure(attached);
    await exit.registered;
    onAttached?.();
    const answer = await docker.engine.call({ method: 'POST', path: `/containers/${ref.handle}/start`, signal });
    if (answer.status !== 204) throw startFailure(answer);
    return sandboxIo(docker, attached, exit);
  } catch (error) {
    giveUp.abort();
    exit.registered.catch(() => docker.log.debug('the wait for a sandbox that did not start was given up'));
    if (attached?.type === 'open') attached.socket.destroy();
    throw error;
  }
}

function attach(docker: DockerContext, ref: SandboxRef, signal: AbortSignal | undefined): Promise<Hijacked> {
  const query = { stream: 1, stdin: 1, stdout: 1, stderr: 1 };
  return docker.engine.hijack({ method: 'POST', path: `/containers/${ref.handle}/attach`, query, signal });
}

function sandboxIo(docker: DockerContext, attached: Hijacked & { type: 'open' }, exit: ExitWatch): SandboxIo {
  const { stdin, stdout, stderr } = splitHijacked(attached, docker.log);
  return { stdin, stdout, stderr, exited: exit.exited };
}

/** An incarnation runs once. A second start would attach a second reader to a running program, or run an ended one again. */
async function requireFresh(docker: DockerContext, ref: SandboxRef, signal: AbortSignal | undefined): Promise<void> {
  const container = await inspectContainer(docker, ref.handle, signal);
  if (container === undefined)
    throw new PlatformError('sandbox_start_failed', { detail: `The incarnation ${ref.incarnation} does not exist (any more).` });
  if (container.status !== 'created')
    throw new PlatformError('sandbox_conflict', { detail: `The incarnation ${ref.incarnation} was started before.` });
}

/** True when the failure is the second start of an incarnation, which must leave the first one alone. */
export function isSecondStart(error: unknown): boolean {
  return error instanceof PlatformError && error.code === 'sandbox_conflict';
}
