import {
  eventListQuerySchema,
  eventPageSchema,
  eventSendQuerySchema,
  eventSendResponseSchema,
  eventSendSchema,
  eventStreamQuerySchema,
} from '@cloister/api';
import { PlatformError } from '../../base/errors.ts';
import { requireSession } from '../../sessions/sessions.ts';
import { requireSupported } from '../../sessions/supported-events.ts';
import { toWireEvent } from '../../sessions/wire.ts';
import { connectionOf } from '../connection.ts';
import type { AppContext } from '../context.ts';
import { readIdempotencyKey } from '../idempotency.ts';
import { type RouteTable, route } from '../openapi.ts';
import { eventStream } from '../sse.ts';
import { createdRange, toPage } from './paging.ts';

const tag = 'Events';

export function eventRoutes(table: RouteTable): void {
  const { deps, limits } = table;
  route(
    table,
    {
      method: 'post',
      path: '/v1/sessions/{id}/events',
      operationId: 'sendEvents',
      tag,
      summary: 'Send events; when it answers they are on disk',
      headers: { 'Idempotency-Key': 'The same key with the same body within 24 h answers the first result and does nothing else' },
      keepsOwnKeys: true,
      query: eventSendQuerySchema,
      body: eventSendSchema,
      response: eventSendResponseSchema,
      problems: [
        'session_not_found',
        'session_archived',
        'event_not_found',
        'capability_unsupported',
        'approval_not_pending',
        'idempotency_mismatch',
        'capacity_exhausted',
        'overloaded',
        'draining',
      ],
    },
    async ({ c, tenantId, query, body, param }) => {
      const send = async () =>
        deps.sendEvents({
          tenantId,
          sessionId: param('id'),
          events: requireSupported(body.events, '/events'),
          idempotencyKey: readIdempotencyKey(c),
          waitMs: query.wait === undefined ? undefined : query.wait * 1000,
          abort: c.req.raw.signal,
        });
      if (query.wait === undefined) return send();
      // Most of its time it only waits, and so it counts among the streams.
      const leave = limits.streams.take(tenantId);
      c.get('flight').land();
      return send().finally(leave);
    },
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/sessions/{id}/events',
      operationId: 'listEvents',
      summary: 'List the events of a session',
      tag,
      query: eventListQuerySchema,
      response: eventPageSchema,
      problems: ['session_not_found', 'cursor_invalid'],
    },
    async ({ tenantId, query, param }) => {
      const session = await requireSession(deps.store, tenantId, param('id'));
      const page = await deps.store.events.list({
        tenantId,
        sessionId: param('id'),
        limit: query.limit,
        page: query.page,
        order: query.order,
        types: query['types[]'] ?? query.types,
        ...createdRange(query),
      });
      const first = await deps.store.events.firstSeq({ tenantId, sessionId: session.id });
      return { ...toPage({ ...page, data: page.data.map(toWireEvent) }), first_seq: first ?? session.lastSeq + 1 };
    },
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/sessions/{id}/events/stream',
      operationId: 'streamEvents',
      tag,
      summary: 'Stream the events of a session: new ones, and with `Last-Event-ID` or `after` the past ones first',
      headers: { 'Last-Event-ID': 'The `id:` of the last event you saw' },
      query: eventStreamQuerySchema,
      response: { mediaType: 'text/event-stream', description: '`id:` is the seq, `event:` the type, `data:` the event' },
      problems: ['session_not_found', 'capacity_exhausted', 'overloaded'],
    },
    async ({ c, tenantId, query, param }) => {
      const session = await requireSession(deps.store, tenantId, param('id'));
      const headers = {
        'Content-Type': 'text/event-stream; charset=utf-8',
        'Cache-Control': 'no-cache, no-transform',
        'X-Accel-Buffering': 'no',
      };
      // Nobody would read the stream of a HEAD, nor ever close it.
      if (c.req.method === 'HEAD') return c.body(null, 200, headers);
      const after = readLastEventId(c) ?? query.after ?? session.lastSeq;
      const previews = new Set(query['event_deltas[]'] ?? query.event_deltas ?? []);
      const onEnd = limits.streams.take(tenantId);
      const cut = connectionOf(c)?.cut;
      return c.body(
        eventStream(deps, { tenantId, sessionId: session.id, after, head: session.lastSeq, previews, onEnd, cut }),
        200,
        headers,
      );
    },
  );
}

function readLastEventId(c: AppContext): number | undefined {
  const value = c.req.header('last-event-id');
  if (value === undefined || value === '') return undefined;
  const seq = Number(value);
  if (Number.isSafeInteger(seq) && seq >= 0) return seq;
  throw new PlatformError('request_invalid', {
    detail: 'Last-Event-ID is not a seq of this session.',
    fields: [{ pointer: 'Last-Event-ID', message: 'a whole number' }],
  });
}
