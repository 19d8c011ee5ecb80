import type { EventParam } from '../../packages/api/src/index.ts';

export interface Posted {
  readonly status: number;
  /** Of the accepted events; empty when it was refused. */
  readonly ids: readonly string[];
  /** Code of the problem, when there was one. */
  readonly code: string | undefined;
  readonly hasRetryAfter: boolean;
}

/** One try to hand events over. Throws what fetch throws when nothing answers. */
export async function postEvents(input: {
  readonly url: string;
  readonly key: string;
  readonly sessionId: string;
  readonly events: readonly EventParam[];
  readonly idempotencyKey: string;
  readonly timeoutMs: number;
}): Promise<Posted> {
  const response = await fetch(`${input.url}/v1/sessions/${input.sessionId}/events`, {
    method: 'POST',
    headers: { 'x-api-key': input.key, 'content-type': 'application/json', 'idempotency-key': input.idempotencyKey },
    body: JSON.stringify({ events: input.events }),
    signal: AbortSignal.timeout(input.timeoutMs),
  });
  const body = parseBody(await response.text());
  return {
    status: response.status,
    ids: (body.data ?? []).map((event) => event.id),
    code: body.error?.code,
    hasRetryAfter: response.headers.has('retry-after'),
  };
}

interface Body {
  readonly data?: readonly { readonly id: string }[];
  readonly error?: { readonly code?: string };
}

function parseBody(text: string): Body {
  // The server's own schemas describe both shapes; an answer cut short is no answer.
  return JSON.parse(text) as Body;
}
