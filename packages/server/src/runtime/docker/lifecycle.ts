import { stat } from 'node:fs/promises';
import { delay } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import type { SandboxRef, SandboxSpec } from '../driver.ts';
import type { DockerContext } from './context.ts';
import { noteOurDoing } from './exit.ts';
import { startFailure, tooSlow, unexpectedAnswer } from './failures.ts';
import type { NetworkHolders } from './holders.ts';
import { inspectContainer } from './inspect.ts';
import { containerBody, containerName, containerRef, type EngineTraits, hasSpec } from './profile.ts';
import { type EngineQuirks, saysNameTaken } from './quirks.ts';
import type { EngineAnswer } from './transport.ts';

const REMOVAL_LIMIT_MS = 30_000;
const REMOVAL_POLL_MS = 50;

/** Makes the container, or finds the one that an earlier call with the same spec made. Not to be aborted half-way: see `driver.ts`. */
export async function createContainer(
  docker: DockerContext,
  given: SandboxSpec,
  holders: NetworkHolders,
): Promise<{ ref: SandboxRef; isNew: boolean }> {
  const name = containerName(given.labels);
  const traits = await engineTraits(docker);
  if (traits.quirks.makesMissingMounts) await requireMounts(given);
  const spec = await docker.hostPaths.specOnHost(given);
  const json = containerBody(spec, traits.apiVersion, traits);
  if (await createHeld(docker, spec, { holders, traits, name, json })) return { ref: containerRef(spec.labels), isNew: true };
  const deadline = docker.clock.monotonic() + REMOVAL_LIMIT_MS;
  for (;;) {
    const answer = await docker.engine.call({ method: 'POST', path: '/containers/create', query: { name }, json });
    if (answer.status === 201) return { ref: containerRef(spec.labels), isNew: true };
    if (!isNameTaken(answer)) throw createFailure(spec, answer);
    const existing = await adopt(docker, spec, name);
    if (existing !== undefined) return { ref: existing, isNew: false };
    // The name's last holder is on its way out; its removal is short, and bounded here.
    if (docker.clock.monotonic() > deadline) throw tooSlow(undefined, 'remove the former container', REMOVAL_LIMIT_MS);
    await delay(docker.clock, REMOVAL_POLL_MS, docker.closing);
  }
}

interface HeldCreation {
  readonly holders: NetworkHolders;
  readonly traits: EngineTraits & { readonly apiVersion: string };
  readonly name: string;
  /** The same with a network of its own. */
  readonly json: object;
}

/** Makes the container in a network that is ready. False when there is none, or when it was not made: without one it will show why. */
async function createHeld(docker: DockerContext, spec: SandboxSpec, { holders, traits, name, json }: HeldCreation): Promise<boolean> {
  const holder = holders.lend(name, { ...spec, json });
  if (holder === undefined) return false;
  try {
    const held = containerBody(spec, traits.apiVersion, traits, holder);
    const answer = await docker.engine.call({ method: 'POST', path: '/containers/create', query: { name }, json: held });
    if (answer.status === 201) return true;
  } catch (error) {
    // It may have been made all the same.
    holders.release(name);
    throw error;
  }
  holders.giveBack(name);
  return false;
}

async function adopt(docker: DockerContext, spec: SandboxSpec, name: string): Promise<SandboxRef | undefined> {
  const existing = await inspectContainer(docker, name);
  if (existing === undefined || existing.status === 'removing') return undefined;
  if (hasSpec(existing.labels, spec)) return containerRef(spec.labels);
  throw new PlatformError('sandbox_conflict', {
    detail: `The incarnation ${spec.labels.incarnation} already exists with another specification.`,
  });
}

export function isNameTaken(answer: EngineAnswer): boolean {
  return saysNameTaken(answer);
}

/** What the profile has to know of the engine. */
export async function engineTraits(docker: DockerContext): Promise<EngineTraits & { readonly apiVersion: string }> {
  const { apiVersion, quirks } = await docker.engine.address();
  const seccompPath = quirks.needsOwnSeccomp ? await docker.seccomp.path(() => libpodInfo(docker, quirks)) : undefined;
  return { apiVersion, quirks, seccompPath };
}

/** For an engine that would make what is not there: the mounts are of this host, so this process can look. */
export async function requireMounts({ mounts }: Pick<SandboxSpec, 'mounts'>): Promise<void> {
  for (const { hostPath } of mounts) {
    await stat(hostPath).catch((cause: unknown) => {
      throw startFailure({ status: 400, message: `bind source path does not exist: ${cause instanceof Error ? cause.message : hostPath}` });
    });
  }
}

async function libpodInfo(docker: DockerContext, { title }: EngineQuirks): Promise<EngineAnswer['body']> {
  const answer = await docker.engine.call({ method: 'GET', path: '/libpod/info' });
  if (answer.status !== 200) throw unexpectedAnswer(`ask ${title} about itself`, answer);
  return answer.body;
}

function createFailure(spec: SandboxSpec, answer: EngineAnswer): PlatformError {
  if (answer.status !== 404) return startFailure(answer);
  return new PlatformError('image_missing', {
    detail: `The container engine has no image "${spec.image}". Build it with \`npm run image\`, or correct the environment's \`image\`.`,
    cause: new Error(answer.message),
  });
}

export async function stopContainer(
  docker: DockerContext,
  id: string,
  options: { readonly graceMs: number; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  noteOurDoing(docker, id);
  // The engine counts in seconds; a fraction is rounded up, so that the program has at least what it was given.
  const seconds = Math.ceil(options.graceMs / 1000);
  const { quirks } = await docker.engine.address(options.signal);
  const stop = () =>
    docker.engine.call({
      method: 'POST',
      path: `/containers/${id}/stop`,
      query: { t: seconds },
      signal: options.signal,
      deadlineMs: seconds * 1000 + 30_000,
    });
  let answer = await stop();
  if (answer.status === 500 && !quirks.stopsPaused) {
    await docker.engine.call({ method: 'POST', path: `/containers/${id}/unpause`, signal: options.signal });
    answer = await stop();
  }
  // 304: it had stopped already. 404: it is gone. 409: it is being removed.
  if (![204, 304, 404, 409].includes(answer.status)) throw unexpectedAnswer('stop a sandbox', answer);
}

/** Kills and removes; resolves when nothing is left. */
export async function removeContainer(docker: DockerContext, id: string, signal?: AbortSignal): Promise<void> {
  noteOurDoing(docker, id);
  const { quirks } = await docker.engine.address(signal);
  // It waits for the death of what it kills, which the paused do not die. What these answer says nothing, most often
  // that nothing is paused, or runs; the removal tells.
  for (const verb of quirks.isKilledFirst ? ['unpause', 'kill'] : [])
    await docker.engine.call({ method: 'POST', path: `/containers/${id}/${verb}`, signal });
  const query = { force: 1, v: 1, ...quirks.removal };
  const answer = await docker.engine.call({ method: 'DELETE', path: `/containers/${id}`, query, signal, deadlineMs: REMOVAL_LIMIT_MS });
  if (answer.status === 204 || answer.status === 404) return;
  if (answer.status !== 409) throw unexpectedAnswer('remove a sandbox', answer);
  // Somebody else's removal is under way.
  const deadline = docker.clock.monotonic() + REMOVAL_LIMIT_MS;
  while ((await inspectContainer(docker, id, signal)) !== undefined) {
    if (docker.clock.monotonic() > deadline) throw tooSlow(undefined, 'remove a sandbox', REMOVAL_LIMIT_MS);
    await delay(docker.clock, REMOVAL_POLL_MS, signal);
  }
}
