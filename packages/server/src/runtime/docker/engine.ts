import type http from 'node:http';
import type { Clock } from '../../base/clock.ts';
import { isPlatformError, PlatformError } from '../../base/errors.ts';
import { createDeadline, type Deadline, untilAborted } from './deadline.ts';
import { type EndpointOptions, endpointCandidates } from './endpoint.ts';
import { explainConnection, tooSlow, unreachable } from './failures.ts';
import { type EngineAddress, negotiate } from './negotiate.ts';
import { type EngineKind, type EngineQuirks, isRefusal } from './quirks.ts';
import { createAgents, type EngineAnswer, type EngineRequest, type Hijacked, readAnswer, send, upgrade } from './transport.ts';

/**
 * The engine's HTTP API, as thin as it can be. Any status is an answer, not an exception: what a 404 means is
 * the operation's to say. Only a missing, silent or broken engine throws, always as `runtime_unreachable`.
 */
export interface Engine {
  /** Asks and reads the whole answer. */
  call(request: EngineRequest): Promise<EngineAnswer>;
  /** Asks and hands over the body as it comes; the deadline ends with the headers, the signal does not. */
  open(request: EngineRequest): Promise<EngineStream>;
  /** Asks for the raw connection (attach, exec). Never shares a connection with other calls. */
  hijack(request: EngineRequest): Promise<Hijacked>;
  /** Finds the engine and its API version; cached until a connection fails. */
  address(signal?: AbortSignal): Promise<EngineAddress>;
  /** Who answers; before that is known, who is expected. */
  kind(): EngineKind;
  close(): void;
}

export interface EngineStream {
  readonly status: number;
  readonly body: http.IncomingMessage;
}

export interface EngineOptions extends EndpointOptions {
  readonly clock: Clock;
  readonly deadlineMs?: number | undefined;
}

const DEFAULT_DEADLINE_MS = 30_000;

export function createEngine(options: EngineOptions): Engine {
  const { clock } = options;
  const candidates = endpointCandidates(options);
  const deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
  const expected = options.kind ?? 'docker';
  const agents = createAgents();
  const closing = new AbortController();
  let negotiated: Promise<EngineAddress> | undefined;
  let kind = expected;

  function address(signal?: AbortSignal): Promise<EngineAddress> {
    negotiated ??= negotiate(candidates, { clock, deadlineMs, agents, signal: closing.signal, expected }).then(
      (found) => {
        kind = found.kind;
        return found;
      },
      (error: unknown) => {
        negotiated = undefined;
        throw error;
      },
    );
    return untilAborted(negotiated, signal);
  }

  /** Runs one exchange under its deadline and gives every failure its right name. */
  async function exchange<T>(request: EngineRequest, run: (at: EngineAddress, deadline: Deadline) => Promise<T>): Promise<T> {
    request.signal?.throwIfAborted();
    const limit = request.deadlineMs ?? deadlineMs;
    const deadline = createDeadline(clock, limit, request.signal, closing.signal);
    let at: EngineAddress | undefined;
    try {
      at = await address(deadline.signal);
      return await run(at, deadline);
    } catch (error) {
      if (request.signal?.aborted) throw request.signal.reason;
      if (deadline.isExpired()) throw tooSlow(at?.endpoint, operationName(request), limit);
      if (isPlatformError(error) || at === undefined) throw error;
      negotiated = undefined;
      throw unreachable(explainConnection(at.endpoint, error, at.kind), error);
    } finally {
      deadline.clear();
    }
  }

  return {
    address,
    kind: () => kind,
    call: (request) =>
      exchange(request, async (at, { signal }) => {
        const response = await send({ ...at, request, agents, signal });
        return withMissing(at.quirks, await readAnswer(response));
      }),
    open: (request) =>
      exchange(request, async (at, deadline) => {
        // The stream outlives the deadline but not the caller's signal, nor this client.
        const life = createDeadline(clock, undefined, request.signal, closing.signal);
        const body = await send({ ...at, request, agents: false, signal: AbortSignal.any([life.signal, deadline.signal]) });
        body.once('close', () => life.clear());
        return { status: body.statusCode ?? 0, body };
      }),
    hijack: (request) =>
      exchange(request, async (at, { signal }) => {
        const answer = await upgrade({ ...at, request, signal, closing: closing.signal });
        return answer.type === 'open' ? answer : withMissing(at.quirks, answer);
      }),
    close() {
      closing.abort(new PlatformError('runtime_unreachable', { detail: 'The connection to the container engine was closed.' }));
      agents.plain.destroy();
      agents.tls.destroy();
    },
  };
}

function operationName(request: EngineRequest): string {
  return `${request.method} ${request.path.replace(/[0-9a-f]{64}|\bcloister-[\w.-]+/g, '{id}')}`;
}

/** 404 for what is gone, however the engine says so. */
function withMissing<T extends { readonly status: number; readonly message: string }>({ missing }: EngineQuirks, answer: T): T {
  return isRefusal(missing, answer) ? { ...answer, status: 404 } : answer;
}
