import type { Session, SessionEvent, SessionSandbox, Turn } from '@cloister/api';
import { isProblemCode, PROBLEMS, STAGES } from '@cloister/api';
import { EMPTY_AGENT_FIELDS, parseDefinition } from '../agents/agents.ts';
import { toTimestamp } from '../base/clock.ts';
import { parseResources } from '../resources/resources.ts';
import type { Stages } from '../sandboxes/stages.ts';
import { isTerminal, type JsonObject, type SessionRow, type SessionState, type StoredEvent, type TurnRow } from '../store/store.ts';

/** Our states in the published words: what waits for a person is idle there. */
export function toWireStatus(state: SessionState): Session['status'] {
  return state === 'waiting' ? 'idle' : state;
}

/** `sandbox` is the live one that this server has for it. */
export function toSession(row: SessionRow, now: number, sandbox: SessionSandbox | null = null): Session {
  const { metadata: _own, ...agent } = parseDefinition({ definition: row.agent });
  return {
    id: row.id,
    type: 'session',
    agent: { id: row.agentId, type: 'agent', version: row.agentVersion, ...agent, ...EMPTY_AGENT_FIELDS },
    environment_id: row.environmentId,
    title: row.title,
    metadata: textValues(row.metadata),
    status: toWireStatus(row.state),
    usage: {
      input_tokens: row.usage.inputTokens,
      output_tokens: row.usage.outputTokens,
      cache_read_input_tokens: row.usage.cacheReadTokens,
      cache_creation: { ephemeral_5m_input_tokens: row.usage.cacheCreationTokens, ephemeral_1h_input_tokens: 0 },
    },
    stats: { active_seconds: row.activeMs / 1000, duration_seconds: Math.max(0, now - row.createdAt) / 1000 },
    outcome_evaluations: [],
    resources: [...parseResources(row.resources)],
    vault_ids: [...row.vaultIds],
    budget: null,
    deployment_id: null,
    sandbox,
    last_seq: row.lastSeq,
    created_at: toTimestamp(row.createdAt),
    updated_at: toTimestamp(row.updatedAt),
    archived_at: row.archivedAt === null ? null : toTimestamp(row.archivedAt),
  };
}

/** An event as it goes on the wire. Payloads are written by our own builders, which the event schemas' tests hold to account. */
export function toWireEvent(event: StoredEvent): SessionEvent {
  return {
    id: event.id,
    type: event.type,
    ...event.payload,
    seq: event.seq,
    turn_id: event.turnId,
    created_at: toTimestamp(event.createdAt),
    processed_at: event.processedAt === null ? null : toTimestamp(event.processedAt),
  } as SessionEvent;
}

export function toTurn(row: TurnRow): Turn {
  return {
    id: row.id,
    session_id: row.sessionId,
    event_id: row.eventId,
    agent_id: row.agentId,
    state: row.state,
    outcome: isTerminal(row.state) ? row.state : null,
    priority: row.priority,
    attempt: row.attempt,
    retries: row.retries,
    retry_at: toOptionalTimestamp(row.retryAt),
    stop_reason: row.stopReason,
    error: row.error === null ? null : toTurnError(row.error),
    stages: row.stages === null ? null : toStages(row.stages),
    created_at: toTimestamp(row.createdAt),
    started_at: toOptionalTimestamp(row.startedAt),
    ended_at: toOptionalTimestamp(row.endedAt),
  };
}

function toStages(stages: JsonObject): Stages {
  return Object.fromEntries(STAGES.flatMap((stage) => (typeof stages[stage] === 'number' ? [[stage, stages[stage]]] : [])));
}

function toOptionalTimestamp(ms: number | null): string | null {
  return ms === null ? null : toTimestamp(ms);
}

function toTurnError(error: JsonObject): NonNullable<Turn['error']> {
  const code = isProblemCode(error.code) ? error.code : 'bug';
  return { code, message: typeof error.message === 'string' ? error.message : PROBLEMS[code].title, fix: PROBLEMS[code].fix };
}

function textValues(metadata: JsonObject): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata).filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}
