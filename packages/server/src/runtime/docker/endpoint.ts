import { homedir } from 'node:os';
import path from 'node:path';
import { PlatformError } from '../../base/errors.ts';

export type Endpoint =
  | { readonly type: 'unix'; readonly socketPath: string }
  | { readonly type: 'tcp'; readonly host: string; readonly port: number };

export interface EndpointOptions {
  /** What DOCKER_HOST says: `unix:///path` or `tcp://host:port`. Undefined looks in the usual places. */
  readonly endpoint?: string | undefined;
  /** What XDG_RUNTIME_DIR says, where a rootless engine has its socket. */
  readonly runtimeDir?: string | undefined;
}

/** The places to try, in order. A given endpoint is the only one: we never go elsewhere than told. */
export function endpointCandidates(options: EndpointOptions): readonly [Endpoint, ...Endpoint[]] {
  if (options.endpoint !== undefined) return [parseEndpoint(options.endpoint)];
  const rest = [path.join(homedir(), '.docker/run/docker.sock'), path.join(homedir(), '.docker/desktop/docker.sock')];
  if (options.runtimeDir !== undefined) rest.unshift(path.join(options.runtimeDir, 'docker.sock'));
  return [{ type: 'unix', socketPath: '/var/run/docker.sock' }, ...rest.map((socketPath) => ({ type: 'unix' as const, socketPath }))];
}

export function parseEndpoint(text: string): Endpoint {
  const [, scheme, rest] = /^([a-z]+):\/\/(.*)$/.exec(text) ?? [];
  if (scheme === 'unix' && rest?.startsWith('/')) return { type: 'unix', socketPath: rest };
  const url = scheme === 'tcp' ? URL.parse(`http://${rest}`) : null;
  // A non-special scheme would hide the default port, so the port is read with http's rules: 80 is left out.
  if (url !== null && url.hostname !== '' && url.pathname === '/')
    return { type: 'tcp', host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port === '' ? 2375 : url.port) };
  throw new PlatformError('config_invalid', {
    detail: `DOCKER_HOST: "${text}" is not an engine endpoint this version can use; give unix:///path or tcp://host:port (no TLS, no ssh).`,
    fields: [{ pointer: 'DOCKER_HOST', message: 'must be unix:///path or tcp://host:port' }],
  });
}

export function describeEndpoint(endpoint: Endpoint): string {
  return endpoint.type === 'unix' ? `unix://${endpoint.socketPath}` : `tcp://${endpoint.host}:${endpoint.port}`;
}

/** True when the endpoint leads to another machine, where the paths of our bind mounts mean nothing. */
export function isRemote(endpoint: Endpoint): boolean {
  return endpoint.type === 'tcp' && !['localhost', '127.0.0.1', '::1'].includes(endpoint.host);
}
