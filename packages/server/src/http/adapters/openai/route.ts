import { createHash } from 'node:crypto';
import type { z } from 'zod';
import { canonicalJson } from '../../../base/json.ts';
import type { AppContext } from '../../context.ts';
import { readIdempotencyKey } from '../../idempotency.ts';
import { type Route, type RouteInput, type RouteTable, route } from '../../openapi.ts';
import type { Accepted, Asked } from './conversation.ts';
import { openAiErrorSchema } from './errors.ts';
import { toOpenAiId } from './ids.ts';
import { withoutEffect } from './refusals.ts';

/** What may go wrong with a message that an agent is to answer. */
const PROBLEMS = [
  'agent_not_found',
  'agent_archived',
  'environment_not_found',
  'environment_archived',
  'session_not_found',
  'session_archived',
  'session_busy',
  'turn_not_found',
  'turn_timeout',
  'turn_interrupted',
  'capability_unsupported',
  'model_unknown',
  'provider_not_configured',
  'idempotency_mismatch',
  'capacity_exhausted',
  'draining',
] as const;

/** A route in OpenAI's words: errors in its shape, keys of repeated requests kept by what answers them. */
export function openAiRoute<Q extends z.ZodType, B extends z.ZodType>(
  table: RouteTable,
  definition: Omit<Route<Q, B>, 'tag' | 'errorSchema' | 'keepsOwnKeys'>,
  handler: (input: RouteInput<Q, B>) => Promise<Response | object>,
): void {
  const headers = { 'Idempotency-Key': 'The same key with the same body within 24 h goes on with the same turn' };
  const isMessage = definition.method === 'post' && definition.body !== undefined;
  route(
    table,
    {
      ...definition,
      tag: 'OpenAI',
      errorSchema: openAiErrorSchema,
      keepsOwnKeys: true,
      ...(isMessage ? { headers, problems: [...PROBLEMS, ...(definition.problems ?? [])] } : {}),
    },
    handler,
  );
}

export function readRepeat(c: AppContext, body: unknown): Asked['repeat'] {
  const key = readIdempotencyKey(c);
  if (key === undefined) return undefined;
  const hash = createHash('sha256')
    .update(c.req.path + canonicalJson(body))
    .digest('hex');
  return { key, hash };
}

/** Which session answers, and what of the request has no effect here. */
export function answerHeaders({ sessionId }: Pick<Accepted, 'sessionId'>, body: Readonly<Record<string, unknown>>): Record<string, string> {
  const ignored = withoutEffect(body);
  return {
    'Cloister-Session': sessionId,
    'OpenAI-Conversation': toOpenAiId('conversation', sessionId),
    ...(ignored.length === 0 ? {} : { 'Cloister-Without-Effect': ignored.join(', ') }),
  };
}
