import { PlatformError } from '../../base/errors.ts';
import {
  type AgentRow,
  APPROVAL_KINDS,
  APPROVAL_SCOPES,
  APPROVAL_STATES,
  type ApprovalRow,
  type EnvironmentRow,
  type JsonObject,
  SESSION_STATES,
  type SessionRow,
  type StoredEvent,
  TURN_STATES,
  type TurnRow,
} from '../store.ts';
import type { Row } from './query.ts';

/** Reads typed values out of rows; a column of another kind means that the query or the schema is wrong. */
export function text(row: Row, column: string): string {
  const value = row[column];
  return typeof value === 'string' ? value : fail(column, 'text');
}

export function integer(row: Row, column: string): number {
  const value = row[column];
  return typeof value === 'number' ? value : fail(column, 'a number');
}

export function optionalText(row: Row, column: string): string | null {
  return row[column] === null ? null : text(row, column);
}

export function optionalInteger(row: Row, column: string): number | null {
  return row[column] === null ? null : integer(row, column);
}

export function stringList(row: Row, column: string): readonly string[] {
  const value: unknown = JSON.parse(text(row, column));
  return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : fail(column, 'a list of texts');
}

export function json(row: Row, column: string): JsonObject {
  const value: unknown = JSON.parse(text(row, column));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return fail(column, 'an object');
  // JSON.parse makes nothing else of an object.
  return value as JsonObject;
}

/** A list of objects. */
export function jsonList(row: Row, column: string): readonly JsonObject[] {
  const value: unknown = JSON.parse(text(row, column));
  if (!Array.isArray(value) || !value.every((one) => typeof one === 'object' && one !== null)) return fail(column, 'a list of objects');
  // JSON.parse makes nothing else of objects.
  return value as readonly JsonObject[];
}

export function oneOf<T extends string>(row: Row, column: string, values: readonly T[]): T {
  const value = row[column];
  return values.find((known) => known === value) ?? fail(column, `one of ${values.join(', ')}`);
}

function fail(column: string, expected: string): never {
  throw new PlatformError('bug', { cause: new Error(`the column ${column} is not ${expected}`) });
}

export function parseAgent(row: Row): AgentRow {
  return {
    id: text(row, 'id'),
    tenantId: text(row, 'tenant_id'),
    version: integer(row, 'version'),
    definition: json(row, 'definition'),
    createdAt: integer(row, 'created_at'),
    updatedAt: integer(row, 'updated_at'),
    archivedAt: optionalInteger(row, 'archived_at'),
  };
}

export function parseEnvironment(row: Row): EnvironmentRow {
  return {
    id: text(row, 'id'),
    tenantId: text(row, 'tenant_id'),
    definition: json(row, 'definition'),
    createdAt: integer(row, 'created_at'),
    updatedAt: integer(row, 'updated_at'),
    archivedAt: optionalInteger(row, 'archived_at'),
  };
}

export function parseSession(row: Row): SessionRow {
  return {
    id: text(row, 'id'),
    tenantId: text(row, 'tenant_id'),
    agentId: text(row, 'agent_id'),
    agentVersion: integer(row, 'agent_version'),
    agent: json(row, 'agent'),
    environmentId: text(row, 'environment_id'),
    environment: json(row, 'environment'),
    resources: jsonList(row, 'resources'),
    title: optionalText(row, 'title'),
    metadata: json(row, 'metadata'),
    vaultIds: stringList(row, 'vault_ids'),
    state: oneOf(row, 'state', SESSION_STATES),
    lastSeq: integer(row, 'last_seq'),
    harnessSessionId: optionalText(row, 'harness_session_id'),
    usage: {
      inputTokens: integer(row, 'input_tokens'),
      outputTokens: integer(row, 'output_tokens'),
      cacheReadTokens: integer(row, 'cache_read_tokens'),
      cacheCreationTokens: integer(row, 'cache_creation_tokens'),
    },
    activeMs: integer(row, 'active_ms'),
    createdAt: integer(row, 'created_at'),
    updatedAt: integer(row, 'updated_at'),
    archivedAt: optionalInteger(row, 'archived_at'),
  };
}

export function parseEvent(row: Row): StoredEvent {
  return {
    id: text(row, 'id'),
    tenantId: text(row, 'tenant_id'),
    sessionId: text(row, 'session_id'),
    seq: integer(row, 'seq'),
    type: text(row, 'type'),
    payload: json(row, 'payload'),
    turnId: optionalText(row, 'turn_id'),
    createdAt: integer(row, 'created_at'),
    processedAt: optionalInteger(row, 'processed_at'),
  };
}

export function parseTurn(row: Row): TurnRow {
  return {
    id: text(row, 'id'),
    tenantId: text(row, 'tenant_id'),
    sessionId: text(row, 'session_id'),
    eventId: text(row, 'event_id'),
    agentId: text(row, 'agent_id'),
    state: oneOf(row, 'state', TURN_STATES),
    priority: integer(row, 'priority') === 1 ? 'scheduled' : 'message',
    attempt: integer(row, 'attempt'),
    leaseOwner: optionalText(row, 'lease_owner'),
    leaseUntil: optionalInteger(row, 'lease_until'),
    promptedAt: optionalInteger(row, 'prompted_at'),
    retries: integer(row, 'retries'),
    retryAt: optionalInteger(row, 'retry_at'),
    steeredInto: optionalText(row, 'steered_into'),
    cancelRequested: integer(row, 'cancel_requested') === 1,
    isContinuation: integer(row, 'is_continuation') === 1,
    stopReason: optionalText(row, 'stop_reason'),
    error: row.error === null ? null : json(row, 'error'),
    stages: row.stages === null ? null : json(row, 'stages'),
    traceparent: optionalText(row, 'traceparent'),
    createdAt: integer(row, 'created_at'),
    startedAt: optionalInteger(row, 'started_at'),
    endedAt: optionalInteger(row, 'ended_at'),
  };
}

export function parseApproval(row: Row): ApprovalRow {
  return {
    id: text(row, 'id'),
    tenantId: text(row, 'tenant_id'),
    sessionId: text(row, 'session_id'),
    turnId: text(row, 'turn_id'),
    kind: oneOf(row, 'kind', APPROVAL_KINDS),
    toolName: text(row, 'tool_name'),
    input: json(row, 'input'),
    inputHash: optionalText(row, 'input_hash'),
    rule: optionalText(row, 'rule'),
    state: oneOf(row, 'state', APPROVAL_STATES),
    denyMessage: optionalText(row, 'deny_message'),
    scope: row.scope === null ? null : oneOf(row, 'scope', APPROVAL_SCOPES),
    raiseMicros: optionalInteger(row, 'raise_micros'),
    decidedBy: optionalText(row, 'decided_by'),
    decidedAt: optionalInteger(row, 'decided_at'),
    createdAt: integer(row, 'created_at'),
    expiresAt: optionalInteger(row, 'expires_at'),
  };
}
