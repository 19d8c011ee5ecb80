import { createHash } from 'node:crypto';
import { PROBLEM_KINDS, PROBLEMS } from '@cloister/api';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { PlatformError, toPlatformError } from '../base/errors.ts';
import { type IdKind, idOf, newUnique } from '../base/ids.ts';
import { canonicalJson } from '../base/json.ts';
import type { Logger } from '../base/log.ts';
import { parseSealed, type Sealer } from '../core/sealing.ts';
import type { RequestStore } from '../store/store.ts';
import { answerAad } from '../vaults/upgrade.ts';
import type { AppContext } from './context.ts';

/** What a handler is told of the key that its request came with. */
export interface Reservation {
  /** The id of the thing to be made: the same at every try. Undefined without a key. */
  readonly idFor: (kind: IdKind) => string | undefined;
  /** An earlier try broke off, and may have done it already. */
  readonly isRepeat: boolean;
}

export const NO_RESERVATION: Reservation = { idFor: () => undefined, isRepeat: false };

export interface IdempotencyDeps {
  readonly requests: RequestStore;
  readonly log: Logger;
  /** How long a server that is gone keeps a request from being tried again. */
  readonly leaseMs: number;
  readonly sealer: Sealer;
}

const KEEP_MS = 24 * 3600 * 1000;
/** Larger answers are not kept: the request is then done again, for the same thing. */
const MAX_BODY_BYTES = 256 * 1024;
const RETRY_AFTER_MS = 1000;

export function readIdempotencyKey(c: AppContext): string | undefined {
  const key = c.req.header('idempotency-key');
  if (key === undefined) return undefined;
  if (/^[\x21-\x7e]{1,255}$/.test(key)) return key;
  throw new PlatformError('request_invalid', {
    detail: 'The Idempotency-Key is not 1 to 255 visible ASCII characters.',
    fields: [{ pointer: 'Idempotency-Key', message: '1 to 255 visible ASCII characters' }],
  });
}

/** Does what the request asks for, or answers what was answered to the same request before. `json` is its body. */
export async function answerOnce(
  deps: IdempotencyDeps,
  request: {
    readonly c: AppContext;
    readonly tenantId: string;
    readonly key: string;
    readonly json: unknown;
    readonly unkept: readonly string[];
  },
  handle: (reservation: Reservation) => Promise<Response>,
): Promise<Response> {
  const { c, tenantId, key } = request;
  // One connection may carry the same request twice, but never under the same id.
  const reserved = { tenantId, key, holder: c.get('requestId') };
  const begun = await deps.requests.begin({
    ...reserved,
    requestHash: requestHash(c, request.json),
    resourceId: newUnique(),
    leaseMs: deps.leaseMs,
    keepMs: KEEP_MS,
  });
  if (begun.type === 'running') throw new PlatformError('idempotency_in_flight', { retryAfterMs: RETRY_AFTER_MS });
  if (begun.type === 'answered') {
    c.header('Idempotent-Replayed', 'true');
    c.header('Content-Type', 'application/json');
    // It was one of ours.
    return c.body(opened(deps.sealer, begun.body, answerAad(tenantId, key)), begun.status as ContentfulStatusCode);
  }
  const { resourceId, isRepeat } = begun;
  let response: Response;
  try {
    response = await handle({ idFor: (kind) => idOf(kind, resourceId), isRepeat });
  } catch (error) {
    // A refusal has changed nothing. Of anything else nobody knows how far it got, nor of an earlier try.
    const { status } = PROBLEM_KINDS[PROBLEMS[toPlatformError(error).code].kind];
    await settle(deps, () => deps.requests.abandon({ ...reserved, keepsResource: status >= 500 || isRepeat }));
    throw error;
  }
  const body = await response.clone().text();
  await settle(deps, async () => {
    if (Buffer.byteLength(body) > MAX_BODY_BYTES) await deps.requests.abandon({ ...reserved, keepsResource: true });
    else {
      // An answer may show a secret that is shown once: the database has it sealed.
      const kept = deps.sealer.seal(withoutFields(body, request.unkept), answerAad(tenantId, key));
      await deps.requests.complete({ ...reserved, status: response.status, body: kept });
    }
  });
  return response;
}

/** Answers of before there was sealing are as they were given. */
function opened(sealer: Sealer, body: string, aad: string): string {
  return parseSealed(body) === undefined ? body : sealer.open(body, aad);
}

/** What is shown once is nowhere kept, not even for a repeat. */
function withoutFields(body: string, unkept: readonly string[]): string {
  if (unkept.length === 0) return body;
  return JSON.stringify(JSON.parse(body), (key, value: unknown) => (unkept.includes(key) ? null : value));
}

/** What was done is done: when the store fails now, the lease runs out and a repeat does it again, for the same thing. */
async function settle({ log }: IdempotencyDeps, write: () => Promise<unknown>): Promise<void> {
  try {
    await write();
  } catch (error) {
    log.warn({ err: error }, 'the answer to a request with an Idempotency-Key could not be kept');
  }
}

function requestHash(c: AppContext, json: unknown): string {
  const { pathname, search } = new URL(c.req.url);
  return createHash('sha256')
    .update(JSON.stringify([c.req.method, pathname + search]))
    .update(canonicalJson(json))
    .digest('hex');
}
