import { createHash } from 'node:crypto';
import { invariant } from '../../base/errors.ts';
import type { ServiceLabels, ServiceRef, ServiceSpec } from '../services.ts';
import { hostConfig, INSTALLATION_LABEL } from './profile.ts';

/**
 * A service's container: the sandbox's hardening, with a network of its own instead of none, one published port, and
 * no stdin. The engine restarts nothing: the one server that looks after services does.
 */
export function serviceBody(spec: ServiceSpec, apiVersion: string): object {
  invariant(spec.uid > 0, 'a service never runs as root');
  const inside = `${spec.port.inside}/tcp`;
  const network = networkName(spec.labels);
  return {
    Image: spec.image,
    ...(spec.argv === undefined ? {} : { Entrypoint: spec.argv, Cmd: [] }),
    Env: Object.entries(spec.env).map(([name, value]) => `${name}=${value}`),
    User: `${spec.uid}:${spec.uid}`,
    Hostname: 'service',
    Labels: serviceLabels(spec.labels),
    Healthcheck: { Test: ['NONE'] },
    Tty: false,
    StopSignal: 'SIGTERM',
    StopTimeout: 10,
    ExposedPorts: { [inside]: {} },
    HostConfig: {
      ...hostConfig(spec, apiVersion),
      NetworkMode: network,
      PortBindings: { [inside]: [{ HostIp: spec.port.address, HostPort: String(spec.port.host) }] },
      // The engine would answer names for those who may not reach out; there is nobody at this address.
      ...(spec.mayReachOut ? {} : { Dns: ['127.0.0.1'] }),
      LogConfig: { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3' } },
    },
    NetworkingConfig: { EndpointsConfig: { [network]: {} } },
  };
}

export const SERVICE_LABEL = 'cloister.service';
export const TENANT_LABEL = 'cloister.tenant';
const INCARNATION_LABEL = 'cloister.incarnation';

function serviceLabels(labels: ServiceLabels): Record<string, string> {
  return {
    [INSTALLATION_LABEL]: labels.installation,
    [TENANT_LABEL]: labels.tenant,
    [SERVICE_LABEL]: labels.service,
    [INCARNATION_LABEL]: labels.incarnation,
  };
}

/** Undefined for what is no service's container. */
export function serviceRef(labels: Readonly<Record<string, string>>, handle: string): ServiceRef | undefined {
  const [service, incarnation] = [labels[SERVICE_LABEL], labels[INCARNATION_LABEL]];
  return service === undefined || incarnation === undefined ? undefined : { service, incarnation, handle };
}

/** Labels that an engine filters by. */
export function serviceFilter(installation: string): string {
  return JSON.stringify({ label: [`${INSTALLATION_LABEL}=${installation}`, SERVICE_LABEL] });
}

/** The same for the same incarnation of the same installation, so a repeated create meets the first one's container. */
export function serviceContainerName({ installation, incarnation }: ServiceLabels): string {
  return `cloister-${incarnation.replace(/[^a-zA-Z0-9_.-]/g, '-').slice(0, 60)}-${digest(installation, incarnation)}`;
}

export function networkName({ installation, service }: { readonly installation: string; readonly service: string }): string {
  return `cloister-${service.replace(/[^a-zA-Z0-9_.-]/g, '-').slice(0, 60)}-${digest(installation, service)}`;
}

function digest(...parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 12);
}
