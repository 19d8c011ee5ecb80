import { PlatformError } from '../../base/errors.ts';
import type { SandboxIo, SandboxRef, StartOptions } from '../driver.ts';
import type { DockerContext } from './context.ts';
import { watchExit } from './exit.ts';
import { startFailure } from './failures.ts';
import { leaveLostNetwork } from './holders-lost.ts';
import { inspectContainer } from './inspect.ts';
import { readLateOutput } from './late-output.ts';
import { type SeenBytes, splitHijacked } from './streams.ts';
import type { Hijacked } from './transport.ts';

export interface ContainerStart extends StartOptions {
  /** What it would be with a network of its own, as far as that is known. */
  readonly withoutHolder: (name: string) => object | undefined;
}

/** Starts it where it was made; where the network that it was to have is gone, with one of its own. */
export async function startContainer(docker: DockerContext, ref: SandboxRef, options: ContainerStart): Promise<SandboxIo> {
  await requireFresh(docker, ref, options.signal);
  try {
    return await attachAndStart(docker, ref, options);
  } catch (error) {
    if (options.signal?.aborted || !(await leaveLostNetwork(docker, ref.handle, options.withoutHolder(ref.handle)))) throw error;
    docker.log.info({ container: ref.handle }, 'the network kept for a sandbox was gone before its start; it gets one of its own');
    return attachAndStart(docker, ref, options);
  }
}

/**
 * Attaches and begins to wait for the end, both before the start: so neither the first byte nor a very
 * short life is missed. On any failure the connections are let go; removing the container is the caller's.
 */
async function attachAndStart(docker: DockerContext, ref: SandboxRef, { signal, onAttached }: StartOptions): Promise<SandboxIo> {
  const giveUp = new AbortController();
  const exit = watchExit(docker, ref.handle, AbortSignal.any([giveUp.signal, docker.closing]));
  let attached: Hijacked | undefined;
  try {
    const { quirks } = await docker.engine.address();
    const late = quirks.losesTails ? (seen: SeenBytes) => readLateOutput(docker, ref.handle, { exited: exit.exited, seen }) : undefined;
    attached = await attach(docker, ref, signal);
    if (attached.type === 'refused') throw startFailure(attached);
    // At once: a program that says nothing can be over, and its connection closed, before the start is answered.
    const { stdin, stdout, stderr } = splitHijacked(attached, docker.log, { late });
    await exit.registered;
    onAttached?.();
    const answer = await docker.engine.call({ method: 'POST', path: `/containers/${ref.handle}/start`, signal });
    if (answer.status !== 204) throw startFailure(answer);
    return { stdin, stdout, stderr, exited: exit.exited };
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
