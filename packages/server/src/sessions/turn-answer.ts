import { isToolUse, mcpToolName, TOOL_USE_TYPES } from '@cloister/api';
import { asJsonObject, isJsonObject, type JsonObject } from '../base/json.ts';
import type { Store, StoredEvent } from '../store/store.ts';
import type { TurnAddress } from './turns.ts';

/** What came of a turn, as those who asked for it read it: not event by event. */
export interface TurnAnswer {
  /** All that the agent said, its messages apart by an empty line. */
  readonly text: string;
  readonly tools: readonly { readonly name: string; readonly input: JsonObject }[];
  /** The model that was asked last; null when none was. */
  readonly model: string | null;
  /** In and out together; null when no model was asked. */
  readonly tokens: number | null;
}

type LoggedEvent = Pick<StoredEvent, 'type' | 'payload'>;

const PAGE = 1000;
const TYPES = ['agent.message', ...TOOL_USE_TYPES, 'span.model_request_start', 'span.model_request_end'];

/** Reads the answer of a turn from the log, as far as it has come. */
export async function readTurnAnswer(store: Pick<Store, 'events'>, { tenantId, sessionId, turnId }: TurnAddress): Promise<TurnAnswer> {
  const events: StoredEvent[] = [];
  let page: string | undefined;
  do {
    const next = await store.events.list({ tenantId, sessionId, turnId, types: TYPES, limit: PAGE, order: 'asc', page });
    events.push(...next.data);
    page = next.next ?? undefined;
  } while (page !== undefined);
  return toTurnAnswer(events);
}

export function toTurnAnswer(events: readonly LoggedEvent[]): TurnAnswer {
  const of = (type: string) => events.filter((event) => event.type === type).map(({ payload }) => payload);
  const ends = of('span.model_request_end');
  const model = of('span.model_request_start').at(-1)?.model;
  return {
    text: of('agent.message').map(textOf).join('\n\n'),
    tools: events.filter(isToolUse).map(({ payload }) => ({ name: nameOf(payload), input: asJsonObject(payload.input) })),
    model: typeof model === 'string' ? model : null,
    tokens: ends.length === 0 ? null : ends.reduce((sum, { model_usage }) => sum + tokensOf(asJsonObject(model_usage)), 0),
  };
}

/** As models call the tool, also where it is of an MCP server. */
function nameOf({ name, mcp_server_name: server }: JsonObject): string {
  const own = typeof name === 'string' ? name : '';
  return typeof server === 'string' ? mcpToolName(server, own) : own;
}

/** The words of a message, whoever said them. */
function textOf({ content }: JsonObject): string {
  const blocks = Array.isArray(content) ? content : [];
  return blocks.map((block) => (isJsonObject(block) && typeof block.text === 'string' ? block.text : '')).join('');
}

function tokensOf(usage: JsonObject): number {
  return Object.values(usage).reduce<number>((sum, value) => sum + (typeof value === 'number' ? value : 0), 0);
}
