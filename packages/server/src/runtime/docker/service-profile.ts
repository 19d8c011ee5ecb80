import { createHash } from 'node:crypto';
import { invariant } from '../../base/errors.ts';
import type { ServiceLabels, ServiceRef, ServiceSpec } from '../services.ts';
import { type EngineTraits, hostConfig, INSTALLATION_LABEL } from './profile.ts';

/**
 * A service's container: the sandbox's hardening, without a stdin. One that may not reach out is in the network of its
 * relay, which has no card; any other has a network of its own and publishes its port. The engine restarts nothing:
 * the one server that looks after services does.
 */
export function serviceBody(spec: ServiceSpec, apiVersion: string, relay?: string, traits?: EngineTraits): object {
  invariant(spec.uid > 0, 'a service never runs as root');
  invariant(spec.mayReachOut === (relay === undefined), 'a service has a relay unless it may reach out');
  const network = relay === undefined ? ownNetwork(spec) : { top: {}, host: { NetworkMode: `container:${relay}` } };
  return {
    Image: spec.image,
    ...(spec.argv === undefined ? {} : { Entrypoint: spec.argv, Cmd: [] }),
    Env: Object.entries(spec.env).map(([name, value]) => `${name}=${value}`),
    User: `${spec.uid}:${spec.uid}`,
    Labels: { ...spec.labels.aliases, ...serviceLabels(spec.labels) },
    Healthcheck: { Test: ['NONE'] },
    Tty: false,
    StopSignal: 'SIGTERM',
    StopTimeout: 10,
    ...network.top,
    HostConfig: {
      ...hostConfig(spec, apiVersion, traits),
      ...network.host,
      LogConfig: { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3' } },
    },
  };
}

/** What a container has that publishes its port itself. */
function ownNetwork({ labels, port }: ServiceSpec): { readonly top: object; readonly host: object } {
  const inside = `${port.inside}/tcp`;
  const network = networkName(labels);
  return {
    top: { Hostname: 'service', ExposedPorts: { [inside]: {} }, NetworkingConfig: { EndpointsConfig: { [network]: {} } } },
    host: { NetworkMode: network, PortBindings: { [inside]: [{ HostIp: port.address, HostPort: String(port.host) }] } },
  };
}

export const SERVICE_LABEL = 'cloister.service';
export const TENANT_LABEL = 'cloister.tenant';
export const INCARNATION_LABEL = 'cloister.incarnation';

export function serviceLabels(labels: ServiceLabels): Record<string, string> {
  return {
    [INSTALLATION_LABEL]: labels.installation,
    [TENANT_LABEL]: labels.tenant,
    [SERVICE_LABEL]: labels.service,
    [INCARNATION_LABEL]: labels.incarnation,
  };
}

/** Undefined for what belongs to no service. The handle is the name, from which those of the relays follow. */
export function serviceRef(installation: string, labels: Readonly<Record<string, string>>): ServiceRef | undefined {
  const [service, incarnation] = [labels[SERVICE_LABEL], labels[INCARNATION_LABEL]];
  if (service === undefined || incarnation === undefined) return undefined;
  return { service, incarnation, handle: serviceContainerName({ installation, incarnation }) };
}

/** Labels that an engine filters by. */
export function serviceFilter(installation: string): string {
  return JSON.stringify({ label: [`${INSTALLATION_LABEL}=${installation}`, SERVICE_LABEL] });
}

/** The same for the same incarnation of the same installation, so a repeated create meets the first one's container. */
export function serviceContainerName({ installation, incarnation }: Pick<ServiceLabels, 'installation' | 'incarnation'>): string {
  return `cloister-${incarnation.replace(/[^a-zA-Z0-9_.-]/g, '-').slice(0, 60)}-${digest(installation, incarnation)}`;
}

export function networkName({ installation, service }: { readonly installation: string; readonly service: string }): string {
  return `cloister-${service.replace(/[^a-zA-Z0-9_.-]/g, '-').slice(0, 60)}-${digest(installation, service)}`;
}

function digest(...parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 12);
}
