import { delay } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import { asJsonObject } from '../../base/json.ts';
import type { ServiceRef, ServiceRuntime, ServiceSpec } from '../services.ts';
import type { DockerContext } from './context.ts';
import { startFailure, unexpectedAnswer } from './failures.ts';
import { imageDetails } from './image.ts';
import { readJsonLines } from './json-lines.ts';
import { engineTraits, isNameTaken, removeContainer, requireMounts, stopContainer } from './lifecycle.ts';
import { listServices } from './service-list.ts';
import { ensureNetwork, listNetworks, removeNetwork } from './service-network.ts';
import { SERVICE_LABEL, serviceBody, serviceContainerName, serviceFilter } from './service-profile.ts';
import { ensureRelays, publishFailure, removeRelays, startRelays, stopRelays } from './service-relay.ts';
import { serviceLogs, serviceStats } from './service-streams.ts';
import { parseContainer, parseEvent, parseNetworkHolder } from './wire.ts';

/** Services as containers of a Docker engine on the server's own host, with relays of an image that has node. */
export function createDockerServices(docker: DockerContext, relayImage: string | undefined): ServiceRuntime {
  const { engine } = docker;
  return {
    async hostId(call) {
      const answer = await engine.call({ method: 'GET', path: '/info', signal: call?.signal });
      const { ID: id, Name: name, DockerRootDir: store } = asJsonObject(answer.body);
      const { quirks } = await engine.address();
      // Where the id is another one each time, the host and the place of the containers have to do.
      const place = typeof name === 'string' && typeof store === 'string' ? `${name}:${store}` : name;
      const known = quirks.hasStableId && typeof id === 'string' && id !== '' ? id : place;
      if (answer.status !== 200 || typeof known !== 'string') throw unexpectedAnswer('tell which engine it is', answer);
      return known;
    },
    hasImage: async (image, call) => (await imageDetails(engine, image, call?.signal)) !== undefined,
    create: (spec) => create(docker, spec, relayImage),
    start: (ref) => start(docker, ref),
    stop: (ref, options) => stop(docker, ref, options),
    remove: (ref) => remove(docker, ref),
    forget: (service) => removeNetwork(docker, service),
    list: ({ installation }, call) => listServices(docker, installation, call?.signal),
    remnants: ({ installation }, call) => listNetworks(docker, installation, call?.signal),
    watch: ({ installation }, onChange, { signal }) => watch(docker, installation, { onChange, signal }),
    logs: (ref, options) => serviceLogs(docker, ref, options),
    stats: (ref, { signal }) => serviceStats(docker, ref, signal),
  };
}

async function create(docker: DockerContext, given: ServiceSpec, relayImage: string | undefined): Promise<ServiceRef> {
  const spec = { ...(await docker.hostPaths.specOnHost(given)), relayDirectory: await docker.hostPaths.onHost(given.relayDirectory) };
  if ((await docker.engine.address()).quirks.makesMissingMounts) await requireMounts(given);
  const { service, incarnation } = spec.labels;
  const ref = { service, incarnation, handle: serviceContainerName(spec.labels) };
  try {
    await ensureNetwork(docker, spec);
    await createMain(docker, spec, spec.mayReachOut ? undefined : await ensureRelays(docker, spec, relayImage));
    return ref;
  } catch (error) {
    // One that is not made has no relays. Those that stay are found by the next listing.
    await remove(docker, ref).catch((cause: unknown) => docker.log.debug({ err: cause }, 'relays are left for the next listing'));
    throw error;
  }
}

async function createMain(docker: DockerContext, spec: ServiceSpec, relay: string | undefined): Promise<void> {
  const traits = await engineTraits(docker);
  const name = serviceContainerName(spec.labels);
  const json = serviceBody(spec, traits.apiVersion, relay, traits);
  const make = () => docker.engine.call({ method: 'POST', path: '/containers/create', query: { name }, json });
  let answer = await make();
  if (isNameTaken(answer)) {
    const existing = await docker.engine.call({ method: 'GET', path: `/containers/${name}/json` });
    const isOurs = existing.status === 200 && parseContainer(existing.body).labels[SERVICE_LABEL] === spec.labels.service;
    if (isOurs && parseNetworkHolder(existing.body) === relay) return;
    // Made for a relay that is gone since.
    if (isOurs) {
      await removeContainer(docker, name);
      answer = await make();
    }
  }
  if (answer.status === 201) return;
  if (answer.status !== 404) throw startFailure(answer);
  const detail = `The container engine has no image "${spec.image}". Pull or build it there, then start the service again.`;
  throw new PlatformError('image_missing', { detail, cause: new Error(answer.message) });
}

/** The service last, so that one which runs has had its relays. */
async function start(docker: DockerContext, ref: ServiceRef): Promise<void> {
  await startRelays(docker, ref);
  const answer = await docker.engine.call({ method: 'POST', path: `/containers/${ref.handle}/start` });
  // 304: it runs.
  if (answer.status !== 204 && answer.status !== 304) throw publishFailure(answer);
}

/** What is under way ends by its relays while the service has its time. */
async function stop(docker: DockerContext, ref: ServiceRef, options: { readonly graceMs: number }): Promise<void> {
  await stopContainer(docker, ref.handle, options);
  await stopRelays(docker, ref);
}

async function remove(docker: DockerContext, ref: ServiceRef): Promise<void> {
  await removeContainer(docker, ref.handle);
  await removeRelays(docker, ref);
}

const RETRY_MS = 1000;
/** By the names of every engine. */
const CHANGES = ['die', 'died', 'destroy', 'remove', 'pause', 'unpause'];

/** What a broken connection has missed is found by the next listing, which is asked for when it is back. */
async function watch(
  docker: DockerContext,
  installation: string,
  { onChange, signal }: { readonly onChange: () => void; readonly signal: AbortSignal },
): Promise<void> {
  const stop = AbortSignal.any([signal, docker.closing]);
  const { label } = asJsonObject(JSON.parse(serviceFilter(installation)));
  const filters = JSON.stringify({ type: ['container'], event: CHANGES, label });
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
