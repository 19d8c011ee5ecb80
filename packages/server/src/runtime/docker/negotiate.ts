import type { Clock } from '../../base/clock.ts';
import { isPlatformError, PlatformError } from '../../base/errors.ts';
import { asJsonObject } from '../../base/json.ts';
import { createDeadline } from './deadline.ts';
import { describeEndpoint, type Endpoint } from './endpoint.ts';
import { type ConnectionFailure, explainConnection, tooSlow, unreachable } from './failures.ts';
import { type EngineKind, type EngineQuirks, QUIRKS } from './quirks.ts';
import { type Agents, readAnswer, send } from './transport.ts';

export interface EngineAddress {
  readonly endpoint: Endpoint;
  /** Such as `1.41`. */
  readonly apiVersion: string;
  readonly kind: EngineKind;
  readonly quirks: EngineQuirks;
}

/** We speak the engine's own version up to this one, the newest whose changes were read. */
const NEWEST_API = '1.51';
/** That of Docker 20.10, and of Podman from 4.0 on. */
const OLDEST_API = '1.41';

export interface NegotiationOptions {
  readonly clock: Clock;
  readonly deadlineMs: number;
  readonly agents: Agents;
  readonly signal: AbortSignal;
  /** Whose places these are, for the words when nobody is there. */
  readonly expected: EngineKind;
}

/** Takes the first place where an engine answers; when none does, tells about the place that says most. */
export async function negotiate(candidates: readonly [Endpoint, ...Endpoint[]], options: NegotiationOptions): Promise<EngineAddress> {
  let worst: { failure: ConnectionFailure; cause: unknown } | undefined;
  for (const endpoint of candidates) {
    const deadline = createDeadline(options.clock, options.deadlineMs, options.signal);
    try {
      return await ping(endpoint, options.agents, deadline.signal);
    } catch (cause) {
      if (isPlatformError(cause)) throw cause;
      if (options.signal.aborted) throw options.signal.reason;
      if (deadline.isExpired()) throw tooSlow(endpoint, 'GET /_ping', options.deadlineMs);
      const failure = explainConnection(endpoint, cause, options.expected);
      if (worst === undefined || failure.weight > worst.failure.weight) worst = { failure, cause };
    } finally {
      deadline.clear();
    }
  }
  throw unreachable(worst?.failure ?? explainConnection(candidates[0], undefined, options.expected), worst?.cause);
}

async function ping(endpoint: Endpoint, agents: Agents, signal: AbortSignal): Promise<EngineAddress> {
  const response = await send({ endpoint, apiVersion: '', request: { method: 'GET', path: '/_ping' }, agents, signal });
  const answer = await readAnswer(response);
  const { 'api-version': offered, 'libpod-api-version': libpod, server } = response.headers;
  if (answer.status !== 200 || typeof offered !== 'string')
    throw new PlatformError('runtime_unreachable', {
      detail: `What answers at ${describeEndpoint(endpoint)} is not a container engine. Set DOCKER_HOST to where the engine listens${speaksTls(answer.message)}.`,
      cause: new Error(`ping answered ${answer.status}: ${answer.message}`),
    });
  const isDocker = typeof server === 'string' && server.startsWith('Docker/');
  const kind = libpod !== undefined ? 'podman' : isDocker ? 'docker' : await askKind(endpoint, agents, signal);
  const quirks = QUIRKS[kind];
  if (compareVersions(offered, OLDEST_API) < 0)
    throw new PlatformError('runtime_unreachable', {
      detail: `${quirks.title} at ${describeEndpoint(endpoint)} speaks API ${offered}; at least ${OLDEST_API} is needed. ${quirks.fixes.old}`,
    });
  return { endpoint, apiVersion: compareVersions(offered, NEWEST_API) > 0 ? NEWEST_API : offered, kind, quirks };
}

/** An engine behind a proxy may have lost the headers that name it. */
async function askKind(endpoint: Endpoint, agents: Agents, signal: AbortSignal): Promise<EngineKind> {
  const response = await send({ endpoint, apiVersion: '', request: { method: 'GET', path: '/version' }, agents, signal });
  const { Components: components } = asJsonObject((await readAnswer(response)).body);
  const names = Array.isArray(components) ? components.map((one) => asJsonObject(one).Name) : [];
  return names.includes('Podman Engine') ? 'podman' : 'docker';
}

function speaksTls(words: string): string {
  return /HTTP request to an HTTPS server/i.test(words) ? ', and DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH: it speaks TLS' : '';
}

export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => text.split('.').map(Number));
  return (left?.[0] ?? 0) - (right?.[0] ?? 0) || (left?.[1] ?? 0) - (right?.[1] ?? 0);
}
