import { createHash } from 'node:crypto';
import { PlatformError } from '../../base/errors.ts';
import { asJsonObject, isJsonObject } from '../../base/json.ts';
import type { ServiceSpec } from '../services.ts';
import type { DockerContext } from './context.ts';
import { startFailure, unexpectedAnswer } from './failures.ts';
import { INSTALLATION_LABEL } from './profile.ts';
import { QUIRKS } from './quirks.ts';
import { networkName, SERVICE_LABEL, serviceFilter } from './service-profile.ts';

/**
 * Each service has a network to itself, so no service reaches another. That of one which may not reach out is its outer
 * relay's, and has a default route to an address that nobody has and no address translation: whatever is for somewhere
 * else ends there, while the host's side of the published port is on the network itself and is answered. An `internal`
 * network would not do, since engines publish no port on one. The service itself is in no such network: from it, a
 * program without any right reaches the host by sending without a route, on an `internal` bridge without an address too.
 * Where an engine cannot close a network, the outer relay's leads out, which only a fault in this program of ours could use.
 *
 * The networks are of eight addresses each, in a range that is set apart for tests of network devices and used by
 * nobody else: engines have only some thirty networks to give by themselves.
 */
const RANGE = [198, 19] as const;
const NETWORK_BITS = 29;
const SLOTS = 8192;
const TRIES = 64;

export async function ensureNetwork(docker: DockerContext, spec: ServiceSpec): Promise<void> {
  const name = networkName(spec.labels);
  const found = await docker.engine.call({ method: 'GET', path: `/networks/${name}` });
  if (found.status === 200) return;
  if (found.status !== 404) throw unexpectedAnswer('look for a network', found);
  const canClose = QUIRKS[docker.engine.kind()].closesNetworks;
  const first = createHash('sha256').update(name).digest().readUInt16BE(0) % SLOTS;
  for (let index = 0; index < TRIES; index++) {
    // Steps that reach every slot and leave a crowded neighbourhood at once.
    const json = networkBody(spec, { name, slot: (first + index * 1021) % SLOTS, canClose });
    const answer = await docker.engine.call({ method: 'POST', path: '/networks/create', json });
    // 409: an earlier try of ours came through after all.
    if (answer.status === 201 || answer.status === 409) return;
    if (!/overlap/i.test(answer.message)) throw startFailure(answer);
  }
  throw new PlatformError('sandbox_start_failed', { detail: 'The container engine has no free network for the service.' });
}

/** The only shape of a network that is ever asked for. */
export function networkBody(
  spec: Pick<ServiceSpec, 'labels' | 'mayReachOut'>,
  { name, slot, canClose = true }: { readonly name: string; readonly slot: number; readonly canClose?: boolean },
): object {
  const address = (host: number) => {
    const offset = slot * 8 + host;
    return `${RANGE[0]}.${RANGE[1]}.${offset >> 8}.${offset & 255}`;
  };
  const isOpen = spec.mayReachOut || !canClose;
  const closed = { AuxiliaryAddresses: { DefaultGatewayIPv4: address(6) } };
  return {
    Name: name,
    CheckDuplicate: true,
    Driver: 'bridge',
    EnableIPv6: false,
    Labels: { [INSTALLATION_LABEL]: spec.labels.installation, [SERVICE_LABEL]: spec.labels.service },
    IPAM: { Driver: 'default', Config: [{ Subnet: `${address(0)}/${NETWORK_BITS}`, ...(isOpen ? {} : closed) }] },
    Options: isOpen ? {} : { 'com.docker.network.bridge.enable_ip_masquerade': 'false' },
  };
}

export async function removeNetwork(docker: DockerContext, owner: { readonly installation: string; readonly service: string }) {
  const answer = await docker.engine.call({ method: 'DELETE', path: `/networks/${networkName(owner)}` });
  if (answer.status !== 204 && answer.status !== 404) throw unexpectedAnswer('remove a network', answer);
}

/** The services that have a network. */
export async function listNetworks(
  docker: DockerContext,
  installation: string,
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  const query = { filters: serviceFilter(installation) };
  const answer = await docker.engine.call({ method: 'GET', path: '/networks', query, signal });
  if (answer.status !== 200 || !Array.isArray(answer.body)) throw unexpectedAnswer('list the networks', answer);
  return answer.body.flatMap((network) => {
    const service = isJsonObject(network) ? asJsonObject(network.Labels)[SERVICE_LABEL] : undefined;
    return typeof service === 'string' ? [service] : [];
  });
}
