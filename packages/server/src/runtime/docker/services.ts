import { delay } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import { asJsonObject } from '../../base/json.ts';
import type { ServiceObservation, ServiceRef, ServiceRuntime, ServiceSpec } from '../services.ts';
import type { DockerContext } from './context.ts';
import { wasOutOfMemory } from './exit.ts';
import { exitReport } from './exit-report.ts';
import { startFailure, unexpectedAnswer } from './failures.ts';
import { imageDetails } from './image.ts';
import { inspectContainer, observedState } from './inspect.ts';
import { readJsonLines } from './json-lines.ts';
import { isNameTaken, removeContainer, stopContainer } from './lifecycle.ts';
import { ensureNetwork, listNetworks, removeNetwork } from './service-network.ts';
import { SERVICE_LABEL, serviceBody, serviceContainerName, serviceFilter, serviceRef } from './service-profile.ts';
import { serviceLogs, serviceStats } from './service-streams.ts';
import { parseContainers, parseEvent, parseId } from './wire.ts';

/** Services as containers of a Docker engine on the server's own host. */
export function createDockerServices(docker: DockerContext): ServiceRuntime {
  const { engine } = docker;
  return {
    async hostId(call) {
      const answer = await engine.call({ method: 'GET', path: '/info', signal: call?.signal });
      const { ID: id, Name: name } = asJsonObject(answer.body);
      const known = typeof id === 'string' && id !== '' ? id : name;
      if (answer.status !== 200 || typeof known !== 'string') throw unexpectedAnswer('tell which engine it is', answer);
      return known;
    },
    hasImage: async (image, call) => (await imageDetails(engine, image, call?.signal)) !== undefined,
    create: (spec) => create(docker, spec),
    start: (ref) => start(docker, ref),
    stop: (ref, options) => stopContainer(docker, ref.handle, options),
    remove: (ref) => removeContainer(docker, ref.handle),
    forget: (service) => removeNetwork(docker, service),
    list: ({ installation }, call) => list(docker, installation, call?.signal),
    remnants: ({ installation }, call) => listNetworks(docker, installation, call?.signal),
    watch: ({ installation }, onChange, { signal }) => watch(docker, installation, { onChange, signal }),
    logs: (ref, options) => serviceLogs(docker, ref, options),
    stats: (ref, { signal }) => serviceStats(docker, ref, signal),
  };
}

async function create(docker: DockerContext, given: ServiceSpec): Promise<ServiceRef> {
  const spec = await docker.hostPaths.specOnHost(given);
  await ensureNetwork(docker, spec);
  const { apiVersion } = await docker.engine.address();
  const name = serviceContainerName(spec.labels);
  const json = serviceBody(spec, apiVersion);
  const answer = await docker.engine.call({ method: 'POST', path: '/containers/create', query: { name }, json });
  const { service, incarnation } = spec.labels;
  if (answer.status === 201) return { service, incarnation, handle: parseId(answer.body) };
  if (isNameTaken(answer)) {
    const existing = await inspectContainer(docker, name);
    if (existing?.labels[SERVICE_LABEL] === service) return { service, incarnation, handle: existing.id };
  }
  if (answer.status !== 404) throw startFailure(answer);
  const detail = `The container engine has no image "${spec.image}". Pull or build it there, then start the service again.`;
  throw new PlatformError('image_missing', { detail, cause: new Error(answer.message) });
}

async function start(docker: DockerContext, ref: ServiceRef): Promise<void> {
  const answer = await docker.engine.call({ method: 'POST', path: `/containers/${ref.handle}/start` });
  // 304: it runs.
  if (answer.status === 204 || answer.status === 304) return;
  if (/port is already allocated|address already in use|ports are not available/i.test(answer.message))
    throw new PlatformError('service_port_taken', { cause: new Error(answer.message) });
  throw startFailure(answer);
}

async function list(docker: DockerContext, installation: string, signal: AbortSignal | undefined): Promise<ServiceObservation[]> {
  const query = { all: 1, filters: serviceFilter(installation) };
  const answer = await docker.engine.call({ method: 'GET', path: '/containers/json', query, signal });
  if (answer.status !== 200) throw unexpectedAnswer('list the services', answer);
  const found: ServiceObservation[] = [];
  for (const item of parseContainers(answer.body)) {
    const ref = serviceRef(item.labels, item.id);
    if (ref === undefined || item.status === 'removing') continue;
    const state = observedState(item.status);
    if (state !== 'exited') found.push({ ref, state, exit: null });
    else {
      // The list does not tell how it ended.
      const closer = await inspectContainer(docker, item.id, signal);
      if (closer === undefined) continue;
      const isOutOfMemory = await wasOutOfMemory(docker, item.id, closer.exitCode);
      found.push({ ref, state, exit: exitReport(closer.exitCode, isOutOfMemory) });
    }
  }
  return found;
}

const RETRY_MS = 1000;

/** What a broken connection has missed is found by the next listing, which is asked for when it is back. */
async function watch(
  docker: DockerContext,
  installation: string,
  { onChange, signal }: { readonly onChange: () => void; readonly signal: AbortSignal },
): Promise<void> {
  const stop = AbortSignal.any([signal, docker.closing]);
  const { label } = asJsonObject(JSON.parse(serviceFilter(installation)));
  const filters = JSON.stringify({ type: ['container'], event: ['die', 'destroy', 'pause', 'unpause'], label });
  while (!stop.aborted) {
    try {
      const { status, body } = await docker.engine.open({ method: 'GET', path: '/events', query: { filters }, signal: stop });
      if (status !== 200) throw unexpectedAnswer('follow the events', { status, message: '' });
      onChange();
      for await (const line of readJsonLines(body)) if (parseEvent(line) !== undefined) onChange();
    } catch (error) {
      if (!stop.aborted) docker.log.warn({ err: error }, "the engine's events of services broke off; following them again");
    }
    if (!stop.aborted) await delay(docker.clock, RETRY_MS, stop).catch(() => undefined); // an abort ends the loop by its condition
  }
}
