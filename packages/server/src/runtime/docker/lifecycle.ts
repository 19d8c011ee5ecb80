import { delay } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import type { SandboxRef, SandboxSpec } from '../driver.ts';
import type { DockerContext } from './context.ts';
import type { EngineAnswer } from './engine.ts';
import { startFailure, tooSlow, unexpectedAnswer } from './failures.ts';
import { inspectContainer } from './inspect.ts';
import { containerBody, containerName, containerRef, hasSpec } from './profile.ts';
import { parseId } from './wire.ts';

const REMOVAL_LIMIT_MS = 30_000;
const REMOVAL_POLL_MS = 50;

/** Makes the container, or finds the one that an earlier call with the same spec made. Not to be aborted half-way: see `driver.ts`. */
export async function createContainer(docker: DockerContext, spec: SandboxSpec): Promise<{ ref: SandboxRef; isNew: boolean }> {
  const { apiVersion } = await docker.engine.address();
  const name = containerName(spec.labels);
  const json = containerBody(spec, apiVersion);
  const deadline = docker.clock.monotonic() + REMOVAL_LIMIT_MS;
  for (;;) {
    const answer = await docker.engine.call({ method: 'POST', path: '/containers/create', query: { name }, json });
    if (answer.status === 201) return { ref: containerRef(spec.labels, parseId(answer.body)), isNew: true };
    if (!isNameTaken(answer)) throw createFailure(spec, answer);
    const existing = await adopt(docker, spec, name);
    if (existing !== undefined) return { ref: existing, isNew: false };
    // The name's last holder is on its way out; its removal is short, and bounded here.
    if (docker.clock.monotonic() > deadline) throw tooSlow(undefined, 'remove the former container', REMOVAL_LIMIT_MS);
    await delay(docker.clock, REMOVAL_POLL_MS, docker.closing);
  }
}

async function adopt(docker: DockerContext, spec: SandboxSpec, name: string): Promise<SandboxRef | undefined> {
  const existing = await inspectContainer(docker, name);
  if (existing === undefined || existing.status === 'removing') return undefined;
  if (hasSpec(existing.labels, spec)) return containerRef(spec.labels, existing.id);
  throw new PlatformError('sandbox_conflict', {
    detail: `The incarnation ${spec.labels.incarnation} already exists with another specification.`,
  });
}

/** Docker answers 409; Podman answers 500 with these words. */
function isNameTaken({ status, message }: EngineAnswer): boolean {
  return status === 409 || (status === 500 && /name .* is (already )?in use/i.test(message));
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
  // The engine counts in seconds; a fraction is rounded up, so that the program has at least what it was given.
  const seconds = Math.ceil(options.graceMs / 1000);
  const answer = await docker.engine.call({
    method: 'POST',
    path: `/containers/${id}/stop`,
    query: { t: seconds },
    signal: options.signal,
    deadlineMs: seconds * 1000 + 30_000,
  });
  // 304: it had stopped already. 404: it is gone. 409: it is being removed.
  if (![204, 304, 404, 409].includes(answer.status)) throw unexpectedAnswer('stop a sandbox', answer);
}

/** Kills and removes; resolves when nothing is left. */
export async function removeContainer(docker: DockerContext, id: string, signal?: AbortSignal): Promise<void> {
  const query = { force: 1, v: 1 };
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
