import { PlatformError } from '../../base/errors.ts';
import type { ServiceRef, ServiceSpec } from '../services.ts';
import type { DockerContext } from './context.ts';
import { startFailure } from './failures.ts';
import { inspectContainer } from './inspect.ts';
import { engineTraits, isNameTaken, removeContainer, stopContainer } from './lifecycle.ts';
import { type EngineTraits, hostConfig } from './profile.ts';
import { networkName, SERVICE_LABEL, serviceContainerName, serviceLabels } from './service-profile.ts';
import { RELAY_PROGRAM } from './service-relay-program.ts';
import { parseId } from './wire.ts';

/**
 * A service that may not reach out has no network card, so that there is no address of the host's to try: two small
 * containers of ours bring its port to it. The inner one has the network namespace that the service joins, and
 * listens at a unix socket; the outer one has the published port, and is the only one that mounts this socket too.
 * They come, start and go with the service's container, and are named after it.
 */
export const RELAY_SIDES = ['inner', 'outer'] as const;
export type RelaySide = (typeof RELAY_SIDES)[number];

export const RELAY_LABEL = 'cloister.relay';
const NOBODY = '65534:65534';
const SOCKET_DIRECTORY = '/run/relay';
const SOCKET = `${SOCKET_DIRECTORY}/port.sock`;
const MEMORY_BYTES = 128 * 1024 ** 2;
/** Node's threads, and the engine's own until it runs. */
const PIDS = 48;

interface RelayPlace {
  readonly side: RelaySide;
  readonly image: string;
}

export type RelaySpec = Pick<ServiceSpec, 'labels' | 'port' | 'relayDirectory'>;

/** The sandbox's own hardening, and less of everything. */
export function relayBody(
  { labels, port, relayDirectory }: RelaySpec,
  { side, image, apiVersion, traits }: RelayPlace & { readonly apiVersion: string; readonly traits?: EngineTraits },
): object {
  const isInner = side === 'inner';
  const inside = `${port.inside}/tcp`;
  const network = networkName(labels);
  const mount = { hostPath: relayDirectory, path: SOCKET_DIRECTORY, isReadOnly: !isInner };
  const small = { memoryBytes: MEMORY_BYTES, cpus: 1, pids: PIDS, tmpBytes: 64 * 1024, mounts: [mount] };
  const way = isInner ? [SOCKET, `127.0.0.1:${port.inside}`] : [`0.0.0.0:${port.inside}`, SOCKET];
  return {
    Image: image,
    Entrypoint: ['node', '--max-old-space-size=32', '--eval', RELAY_PROGRAM, ...way],
    Cmd: [],
    Env: [],
    WorkingDir: '/',
    User: NOBODY,
    // The service has it with the network.
    Hostname: 'service',
    Labels: { ...serviceLabels(labels), [RELAY_LABEL]: side },
    Healthcheck: { Test: ['NONE'] },
    Tty: false,
    HostConfig: {
      ...hostConfig(small, apiVersion, traits),
      ...(isInner ? {} : { NetworkMode: network, PortBindings: { [inside]: [{ HostIp: port.address, HostPort: String(port.host) }] } }),
      // The engine would write the host's own resolvers down, or answer names; there is nobody at this address.
      Dns: ['127.0.0.1'],
    },
    ...(isInner ? {} : { ExposedPorts: { [inside]: {} }, NetworkingConfig: { EndpointsConfig: { [network]: {} } } }),
  };
}

/** By the name of the service's container. */
export function relayName(container: string, side: RelaySide): string {
  return `${container}-${side}`;
}

/** Makes both, or finds those of an earlier try. The inner one's id, whose network the service joins. */
export async function ensureRelays(docker: DockerContext, spec: RelaySpec, image: string | undefined): Promise<string> {
  if (image === undefined) throw new PlatformError('image_missing', { detail: 'No image is set for the relays of services.' });
  const inner = await ensureRelay(docker, spec, { side: 'inner', image });
  await ensureRelay(docker, spec, { side: 'outer', image });
  return inner;
}

async function ensureRelay(docker: DockerContext, spec: RelaySpec, { side, image }: RelayPlace): Promise<string> {
  const traits = await engineTraits(docker);
  const name = relayName(serviceContainerName(spec.labels), side);
  const json = relayBody(spec, { side, image, apiVersion: traits.apiVersion, traits });
  const answer = await docker.engine.call({ method: 'POST', path: '/containers/create', query: { name }, json });
  if (answer.status === 201) return parseId(answer.body);
  if (isNameTaken(answer)) {
    const existing = await inspectContainer(docker, name);
    if (existing?.labels[SERVICE_LABEL] === spec.labels.service) return existing.id;
  }
  if (answer.status !== 404) throw startFailure(answer);
  const detail = `The container engine has no image "${image}", which brings the ports of services to them. Build it with \`npm run image\`, then start the service again.`;
  throw new PlatformError('image_missing', { detail, cause: new Error(answer.message) });
}

/** The inner one first. Does nothing for a service that has none. */
export async function startRelays(docker: DockerContext, ref: ServiceRef): Promise<void> {
  for (const side of RELAY_SIDES) {
    const answer = await docker.engine.call({ method: 'POST', path: `/containers/${relayName(ref.handle, side)}/start` });
    // 304: it runs.
    if (![204, 304, 404].includes(answer.status)) throw publishFailure(answer);
  }
}

/** Of a container that publishes a port: whether another program has it. */
export function publishFailure(answer: { readonly status: number; readonly message: string }): PlatformError {
  if (/port is already allocated|address already in use|ports are not available/i.test(answer.message))
    return new PlatformError('service_port_taken', { cause: new Error(answer.message) });
  return startFailure(answer);
}

export async function stopRelays(docker: DockerContext, ref: ServiceRef): Promise<void> {
  await Promise.all(RELAY_SIDES.map((side) => stopContainer(docker, relayName(ref.handle, side), { graceMs: 0 })));
}

export async function removeRelays(docker: DockerContext, ref: ServiceRef): Promise<void> {
  await Promise.all(RELAY_SIDES.map((side) => removeContainer(docker, relayName(ref.handle, side))));
}
