import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { PassThrough } from 'node:stream';
import { isPlatformError } from '../base/errors.ts';
import type { InjectedCredential } from '../core/injected-credential.ts';
import type { McpCredentials } from '../core/mcp-credentials.ts';
import { forward, type Rewrite } from './forward.ts';
import type { CredentialAsker, McpRefusal, McpServer } from './gateway.ts';
import { parseTarget } from './host-policy.ts';
import { secure, withCredential } from './inspection/inspector.ts';
import { sendProblem } from './problem-response.ts';
import type { TunnelOptions } from './tunnel.ts';

const PREFIX = '/mcp/';
/** What streamable HTTP consists of. */
const METHODS = new Set(['GET', 'POST', 'DELETE']);
/** What a sandbox may not say: who it is, and whom the answer is for. */
const NOT_SENT = ['authorization', 'cookie', 'x-api-key', 'forwarded', 'via', 'x-forwarded-for', 'x-real-ip'];
/** A place that the client would go to by itself is none that was declared. */
const NOT_RETURNED = ['set-cookie', 'location', 'alt-svc', 'strict-transport-security'];

export interface McpGateway {
  readonly options: TunnelOptions;
  readonly servers: readonly McpServer[];
  readonly credentials: McpCredentials | undefined;
  readonly upstreamCa: readonly string[] | undefined;
  readonly asker: () => CredentialAsker;
  readonly onRefusal?: ((refusal: McpRefusal) => void) | undefined;
}

export function isMcpPath(url: string): boolean {
  return url.startsWith(PREFIX);
}

/**
 * Passes a request on to a server that the session's agent has declared, and to its URL alone: the path and the query
 * are the declaration's. Its address is checked as that of any host, and the environment
 * has to allow it: all of them, or its host.
 */
export async function serveMcp(gateway: McpGateway, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { options, servers } = gateway;
  const method = request.method ?? 'GET';
  const [name] = (request.url ?? '').slice(PREFIX.length).split('?', 1);
  const server = servers.find((one) => one.name === name);
  const url = server === undefined ? null : URL.parse(server.url);
  if (server === undefined || url === null || !METHODS.has(method)) {
    options.log.info({ method, path: request.url?.slice(0, 100) }, 'egress refused: no such MCP server');
    request.resume();
    return sendProblem(response, 'route_not_found', 'The agent has declared no MCP server of this name, or the method is none of its.');
  }
  const isSecure = url.protocol === 'https:';
  const target = parseTarget(url.host, isSecure ? 443 : 80);
  await forward(options, {
    ask: { way: isSecure ? 'inspected' : 'plain', method, target, path: url.pathname, isDeclared: true },
    host: url.host,
    path: url.pathname + url.search,
    request,
    response,
    ...(isSecure ? { secure: (remote, signal) => secure(gateway, targetOf(url), remote, signal) } : {}),
    rewrite: () => rewriteFor(gateway, server),
  });
}

function targetOf(url: URL): { readonly host: string; readonly port: number } {
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port === '' ? 443 : Number(url.port) };
}

async function rewriteFor(gateway: McpGateway, server: McpServer): Promise<Rewrite> {
  const { credentials, asker } = gateway;
  const credential = await telling(gateway, server, async () => credentials?.find({ ...asker(), serverUrl: server.url }));
  const { renew } = credential ?? {};
  const again = async (ask: () => Promise<InjectedCredential>) => rewriteWith(await telling(gateway, server, ask));
  return { ...rewriteWith(credential), renew: renew === undefined ? undefined : () => again(renew) };
}

/** The turn is told of a token that is no longer good: its agent sees no more than a call that failed. */
async function telling<T>({ onRefusal }: McpGateway, { name }: McpServer, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (isPlatformError(error, 'mcp_token_not_refreshed')) onRefusal?.({ server: name, message: error.detail });
    throw error;
  }
}

function rewriteWith(credential: InjectedCredential | undefined): Rewrite {
  const injected = credential === undefined ? undefined : withCredential(credential);
  return {
    request: (headers) => {
      const own = without(headers, NOT_SENT);
      return injected?.request(own) ?? own;
    },
    response: (headers) => {
      const own = without(headers, NOT_RETURNED);
      return injected?.response(own) ?? own;
    },
    body: () => injected?.body() ?? new PassThrough(),
  };
}

function without(headers: OutgoingHttpHeaders, names: readonly string[]): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !names.includes(name.toLowerCase())));
}
