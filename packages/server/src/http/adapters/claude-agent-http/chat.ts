import {
  type AgentHttpChunk,
  agentHttpChatResponseSchema,
  agentHttpChatSchema,
  detailErrorSchema,
  isToolUse,
  PROBLEMS,
  toolNameOf,
} from '@cloister/api';
import { toTimestamp } from '../../../base/clock.ts';
import { invariant, toPlatformError } from '../../../base/errors.ts';
import { readIdempotencyKey } from '../../idempotency.ts';
import { type RouteTable, route } from '../../openapi.ts';
import { ask, failureOf, stopTurn } from '../ask.ts';
import { type FollowInput, followTurn } from '../follow-turn.ts';
import { frameStream, STREAM_HEADERS } from '../frames.ts';
import { agentHttpStatus } from './status.ts';
import { toTheirTool } from './tools.ts';
import { requireUserSession } from './user-sessions.ts';

const tag = 'Claude Agent HTTP';
const problems = [
  'session_not_found',
  'session_busy',
  'approval_awaited',
  'turn_timeout',
  'turn_interrupted',
  'idempotency_mismatch',
  'capacity_exhausted',
  'draining',
] as const;
const headers = { 'Idempotency-Key': 'The same key with the same body within 24 h waits for the same answer and sends nothing else' };

export function chatRoutes(table: RouteTable): void {
  const { deps } = table;
  route(
    table,
    {
      method: 'post',
      path: '/api/v1/chat',
      operationId: 'agentHttpChat',
      summary: 'Send a message and wait for the answer',
      tag,
      headers,
      keepsOwnKeys: true,
      body: agentHttpChatSchema,
      response: agentHttpChatResponseSchema,
      errorSchema: detailErrorSchema,
      errorStatus: agentHttpStatus,
      problems,
    },
    async ({ c, tenantId, body }) => {
      const { session_id: sessionId, timeout } = body;
      await requireUserSession(deps, tenantId, sessionId);
      const timeoutMs = timeout === undefined || timeout === null ? undefined : timeout * 1000;
      const { answer } = await ask(table, c, { tenantId, sessionId, message: toMessage(body.message), timeoutMs });
      return {
        session_id: sessionId,
        text: answer.text,
        tool_calls: answer.tools.map(({ name, input }) => ({ tool: toTheirTool(name), input })),
        timestamp: toTimestamp(deps.clock.now()),
      };
    },
  );
  streamRoute(table);
}

function streamRoute(table: RouteTable): void {
  const { deps, limits } = table;
  route(
    table,
    {
      method: 'post',
      path: '/api/v1/chat/stream',
      operationId: 'agentHttpChatStream',
      summary: 'Send a message and stream the answer',
      tag,
      headers,
      keepsOwnKeys: true,
      body: agentHttpChatSchema,
      response: { mediaType: 'text/event-stream', description: '`data:` is `{"type": "text_delta" | "tool_use" | "done" | "error", …}`' },
      errorSchema: detailErrorSchema,
      errorStatus: agentHttpStatus,
      problems,
    },
    async ({ c, tenantId, body }) => {
      const { session_id: sessionId, timeout } = body;
      await requireUserSession(deps, tenantId, sessionId);
      const idempotencyKey = readIdempotencyKey(c);
      const leave = limits.streams.take(tenantId);
      try {
        const { data } = await deps.sendEvents({ tenantId, sessionId, events: [toMessage(body.message)], idempotencyKey });
        const [message] = data;
        invariant(message?.turn_id, 'a message has a turn');
        const turn = { tenantId, sessionId, turnId: message.turn_id };
        const abort = new AbortController();
        const stop = () =>
          void stopTurn(deps, turn).catch((error: unknown) =>
            deps.log.warn({ err: error, turn: turn.turnId }, 'a turn could not be stopped'),
          );
        const cancelTimer = timeout ? deps.clock.after(timeout * 1000, stop) : () => undefined;
        const stream = frameStream(deps, {
          frames: frames(table, { ...turn, after: message.seq, signal: abort.signal }),
          abort,
          onError: (error) => frame(failed(toPlatformError(error))),
          onEnd(how) {
            cancelTimer();
            leave();
            // Nobody waits for the answer, unless they can come back for it.
            if (how === 'left' && idempotencyKey === undefined) stop();
          },
        });
        return c.body(stream, 200, { ...STREAM_HEADERS, Connection: 'keep-alive' });
      } catch (error) {
        leave();
        throw error;
      }
    },
  );
}

function toMessage(text: string) {
  return { type: 'user.message' as const, content: [{ type: 'text' as const, text }] };
}

async function* frames({ deps }: RouteTable, input: FollowInput): AsyncGenerator<string> {
  let message: string | undefined;
  for await (const item of followTurn(deps, input)) {
    if (item.type === 'text') {
      // Messages are apart by an empty line, as in the answer that does not stream.
      if (message !== undefined && message !== item.messageId) yield frame({ type: 'text_delta', text: '\n\n' });
      message = item.messageId;
      yield frame({ type: 'text_delta', text: item.text });
      continue;
    }
    const { event } = item;
    if (isToolUse(event)) yield frame({ type: 'tool_use', tool_name: toTheirTool(toolNameOf(event)), tool_input: event.input });
    if (event.type === 'session.status_idle' && event.stop_reason.type === 'requires_action') {
      yield frame({ type: 'error', error: said('approval_awaited') });
      return;
    }
    if (event.type !== 'turn.ended') continue;
    if (event.outcome === 'completed') yield frame({ type: 'done' });
    else yield frame(failed(failureOf({ state: event.outcome, error: event.error })));
  }
}

function failed({ code, detail }: { readonly code: keyof typeof PROBLEMS; readonly detail: string }): Part {
  return { type: 'error', error: `${detail} ${PROBLEMS[code].fix}` };
}

function said(code: keyof typeof PROBLEMS): string {
  return `${PROBLEMS[code].title} ${PROBLEMS[code].fix}`;
}

type Part = Pick<AgentHttpChunk, 'type'> & Partial<AgentHttpChunk>;

function frame(part: Part): string {
  const chunk: AgentHttpChunk = { text: null, tool_name: null, tool_input: null, error: null, ...part };
  const { type, text, tool_name, tool_input, error } = chunk;
  return `data: ${JSON.stringify({ type, text, tool_name, tool_input, error })}\n\n`;
}
