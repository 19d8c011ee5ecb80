import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { PlatformError } from '../../base/errors.ts';
import type { EngineKind } from './quirks.ts';

export type Endpoint =
  | { readonly type: 'unix'; readonly socketPath: string }
  | { readonly type: 'tcp'; readonly host: string; readonly port: number; readonly tls?: TlsFiles };

/** PEM texts: whom to believe, and who we are. */
export interface TlsFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface EndpointOptions {
  /** Whose usual places are looked at; Docker's when left out. */
  readonly kind?: EngineKind | undefined;
  /** What DOCKER_HOST says: `unix:///path` or `tcp://host:port`. Undefined looks in the usual places. */
  readonly endpoint?: string | undefined;
  /** With TCP: the directory of ca.pem, cert.pem and key.pem. Undefined means no TLS. */
  readonly certPath?: string | undefined;
  /** What XDG_RUNTIME_DIR says, where a rootless engine has its socket. */
  readonly runtimeDir?: string | undefined;
  /** The sockets to look at in place of the usual ones. */
  readonly sockets?: readonly string[] | undefined;
}

const PLAIN_PORT = 2375;
const TLS_PORT = 2376;

/** The places to try, in order. A given endpoint is the only one: we never go elsewhere than told. */
export function endpointCandidates(options: EndpointOptions): readonly [Endpoint, ...Endpoint[]] {
  if (options.endpoint !== undefined) return [parseEndpoint(options.endpoint, options.certPath)];
  const usual = options.kind === 'podman' ? podmanSockets(options) : dockerSockets(options);
  const [first = usual[0], ...rest] = new Set(options.sockets ?? usual);
  const unix = (socketPath: string) => ({ type: 'unix' as const, socketPath });
  return [unix(first), ...rest.map(unix)];
}

function dockerSockets({ runtimeDir }: EndpointOptions): [string, ...string[]] {
  const rootless = userDirectories(runtimeDir).map((directory) => path.join(directory, 'docker.sock'));
  const desktop = ['.docker/run/docker.sock', '.docker/desktop/docker.sock'].map((name) => path.join(homedir(), name));
  return ['/var/run/docker.sock', ...rootless, ...desktop];
}

/** The user's own service comes first: its containers have no root at all. */
function podmanSockets({ runtimeDir }: EndpointOptions): [string, ...string[]] {
  const [first, ...rest] = userDirectories(runtimeDir).map((directory) => path.join(directory, 'podman/podman.sock'));
  const system = '/run/podman/podman.sock';
  return first === undefined ? [system] : [first, ...rest, system];
}

function userDirectories(runtimeDir: string | undefined): string[] {
  const uid = process.getuid?.();
  return [...(runtimeDir === undefined ? [] : [runtimeDir]), ...(uid === undefined ? [] : [`/run/user/${uid}`])];
}

export function parseEndpoint(text: string, certPath?: string): Endpoint {
  const [, scheme, rest] = /^([a-z]+):\/\/(.*)$/.exec(text) ?? [];
  if (scheme === 'unix' && rest?.startsWith('/')) return { type: 'unix', socketPath: rest };
  const url = scheme === 'tcp' ? URL.parse(`http://${rest}`) : null;
  if (url !== null && url.hostname !== '' && url.pathname === '/' && url.username === '') {
    const host = url.hostname.replace(/^\[|\]$/g, '');
    // http's own port is dropped by the parser, and only it.
    const port = url.port !== '' ? Number(url.port) : /:80\/?$/.test(text) ? 80 : undefined;
    return certPath === undefined
      ? { type: 'tcp', host, port: port ?? PLAIN_PORT }
      : { type: 'tcp', host, port: port ?? TLS_PORT, tls: readTlsFiles(certPath) };
  }
  throw new PlatformError('config_invalid', {
    detail: `DOCKER_HOST: "${text}" is not an engine endpoint this version can use. ${endpointFix(scheme)}`,
    fields: [{ pointer: 'DOCKER_HOST', message: 'must be unix:///path or tcp://host:port' }],
  });
}

function endpointFix(scheme: string | undefined): string {
  if (scheme === 'ssh')
    return "Workspaces are mounted from the engine's own host, so run Cloister there and give the socket, such as unix:///var/run/docker.sock.";
  if (scheme === 'http' || scheme === 'https') return 'Give tcp://host:port, and for TLS set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH.';
  return 'Give unix:///path or tcp://host:port; DOCKER_TLS_VERIFY and DOCKER_CERT_PATH add TLS.';
}

function readTlsFiles(certPath: string): TlsFiles {
  const read = (name: string) => {
    try {
      return readFileSync(path.join(certPath, name), 'utf8');
    } catch (cause) {
      throw new PlatformError('config_invalid', {
        detail: `DOCKER_CERT_PATH: ${path.join(certPath, name)} cannot be read. The directory has to hold ca.pem, cert.pem and key.pem; without TLS, unset DOCKER_TLS_VERIFY and DOCKER_CERT_PATH.`,
        fields: [{ pointer: 'DOCKER_CERT_PATH', message: `${name} cannot be read` }],
        cause,
      });
    }
  };
  return { ca: read('ca.pem'), cert: read('cert.pem'), key: read('key.pem') };
}

export function describeEndpoint(endpoint: Endpoint): string {
  return endpoint.type === 'unix' ? `unix://${endpoint.socketPath}` : `tcp://${endpoint.host}:${endpoint.port}`;
}

/** True when the endpoint leads to another machine, where the paths of our bind mounts mean nothing. */
export function isRemote(endpoint: Endpoint): boolean {
  return endpoint.type === 'tcp' && !['localhost', '127.0.0.1', '::1'].includes(endpoint.host);
}
