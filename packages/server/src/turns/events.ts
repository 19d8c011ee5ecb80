import { PROBLEMS, type ProblemCode } from '@cloister/api';
import { newId } from '../base/ids.ts';
import type { McpTool } from '../core/tools.ts';
import type { JsonObject, NewEvent, TurnOutcome, Usage } from '../store/store.ts';

/** Builders of the events that turns write. Fields are the published ones; what we add is named in docs/events.md. */
export function newEvent(type: string, payload: JsonObject, now: number, id: string = newId('event')): NewEvent {
  return { id, type, payload, processedAt: now };
}

export function statusRunning(now: number): NewEvent {
  return newEvent('session.status_running', {}, now);
}

export function statusRescheduled(now: number): NewEvent {
  return newEvent('session.status_rescheduled', {}, now);
}

export type IdleReason = 'end_turn' | 'retries_exhausted' | 'refusal';

export function statusIdle(reason: IdleReason, now: number): NewEvent {
  return newEvent('session.status_idle', { stop_reason: { type: reason }, stop_details: null }, now);
}

export function requiresAction(eventIds: readonly string[], now: number): NewEvent {
  return newEvent('session.status_idle', { stop_reason: { type: 'requires_action', event_ids: eventIds }, stop_details: null }, now);
}

export function agentMessage(id: string, text: string, now: number): NewEvent {
  return newEvent('agent.message', { content: [{ type: 'text', text }] }, now, id);
}

export function agentThinking(id: string, now: number): NewEvent {
  return newEvent('agent.thinking', {}, now, id);
}

export function toolUse(
  input: { id: string; name: string; mcp?: McpTool | undefined; input: JsonObject; permission: 'allow' | 'ask' | 'deny' },
  now: number,
): NewEvent {
  const evaluation = { type: input.permission === 'ask' ? 'always_ask' : 'always_allow' };
  const { mcp } = input;
  return newEvent(
    mcp === undefined ? 'agent.tool_use' : 'agent.mcp_tool_use',
    {
      ...(mcp === undefined ? { name: input.name } : { mcp_server_name: mcp.server, name: mcp.tool }),
      input: input.input,
      evaluated_permission: input.permission,
      ...(input.permission === 'deny' ? {} : { evaluation }),
    },
    now,
    input.id,
  );
}

export function toolResult(
  { toolUseId, isMcp, text, isError }: { toolUseId: string; isMcp: boolean; text: string; isError: boolean },
  now: number,
): NewEvent {
  const answer = { content: [{ type: 'text', text }], is_error: isError };
  return isMcp
    ? newEvent('agent.mcp_tool_result', { mcp_tool_use_id: toolUseId, ...answer }, now)
    : newEvent('agent.tool_result', { tool_use_id: toolUseId, ...answer }, now);
}

export function modelRequestStart(id: string, model: string | null, now: number): NewEvent {
  return newEvent('span.model_request_start', model === null ? {} : { model }, now, id);
}

export function modelRequestEnd(input: { startId: string; usage: Usage; isError: boolean }, now: number): NewEvent {
  return newEvent(
    'span.model_request_end',
    { model_request_start_id: input.startId, is_error: input.isError, model_usage: toModelUsage(input.usage) },
    now,
  );
}

function toModelUsage(usage: Usage): JsonObject {
  return {
    input_tokens: usage.inputTokens,
    output_tokens: usage.outputTokens,
    cache_read_input_tokens: usage.cacheReadTokens,
    cache_creation_input_tokens: usage.cacheCreationTokens,
  };
}

/** Why a turn did not complete, as events, the turn's row and the chat tell it. */
export interface TurnProblem {
  readonly code: ProblemCode;
  readonly message: string;
}

/** The published error types; every other code travels as `unknown_error` with its `code` beside it. */
function errorType(code: ProblemCode): string {
  if (code === 'model_rate_limited') return 'model_rate_limited_error';
  if (code === 'model_overloaded') return 'model_overloaded_error';
  return code.startsWith('model_') ? 'model_request_failed_error' : 'unknown_error';
}

/** `retrying`: the turn is tried again by itself; `exhausted`: it has ended. */
export function sessionError(problem: TurnProblem, now: number, retry: 'retrying' | 'exhausted' = 'exhausted'): NewEvent {
  const { code, message } = problem;
  return newEvent(
    'session.error',
    { error: { type: errorType(code), message, retry_status: { type: retry }, code, fix: PROBLEMS[code].fix } },
    now,
  );
}

/** Of an MCP server whose token is no longer good. The turn goes on without it. */
export function mcpAuthenticationFailed({ server, message }: { server: string; message: string }, now: number): NewEvent {
  const code = 'mcp_token_not_refreshed';
  const error = { type: 'mcp_authentication_failed_error', mcp_server_name: server, message, retry_status: { type: 'terminal' } };
  return newEvent('session.error', { error: { ...error, code, fix: PROBLEMS[code].fix } }, now);
}

export function turnEnded(
  input: { turnId: string; eventId: string; outcome: TurnOutcome; stopReason: string | null; problem: TurnProblem | null },
  now: number,
): NewEvent {
  const { problem } = input;
  const error = problem === null ? null : { code: problem.code, message: problem.message, fix: PROBLEMS[problem.code].fix };
  return newEvent(
    'turn.ended',
    { turn_id: input.turnId, event_id: input.eventId, outcome: input.outcome, stop_reason: input.stopReason, error },
    now,
  );
}
