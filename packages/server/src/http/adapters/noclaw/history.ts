import { detailErrorSchema, noclawHistoryQuerySchema, noclawHistorySchema } from '@cloister/api';
import type { z } from 'zod';
import { toTimestamp } from '../../../base/clock.ts';
import { isJsonObject, type JsonObject } from '../../../base/json.ts';
import { readTurnAnswer } from '../../../sessions/turn-answer.ts';
import type { TurnRow } from '../../../store/store.ts';
import type { HttpDeps } from '../../context.ts';
import { type RouteTable, route } from '../../openapi.ts';
import { detailStatus } from '../detail-errors.ts';
import { ADAPTER } from './conversation.ts';

type Entry = z.output<typeof noclawHistorySchema>['history'][number];

const PAGE = 100;

export function historyRoute(table: RouteTable): void {
  const { deps } = table;
  route(
    table,
    {
      method: 'get',
      path: '/history/{user}',
      operationId: 'noclawHistory',
      summary: 'What was said with a user, the newest first',
      tag: 'NoClaw',
      query: noclawHistoryQuerySchema,
      response: noclawHistorySchema,
      errorSchema: detailErrorSchema,
      errorStatus: detailStatus,
    },
    async ({ tenantId, query, param }) => ({ user: param('user'), history: await historyOf(deps, tenantId, param('user'), query.limit) }),
  );
}

/** Over all conversations of the user, in pages of sessions. */
async function historyOf(deps: HttpDeps, tenantId: string, userId: string, limit: number): Promise<Entry[]> {
  const history: Entry[] = [];
  let page: string | undefined;
  do {
    const next = await deps.store.adapterSessions.list({ tenantId, adapter: ADAPTER, userId, limit: PAGE, order: 'desc', page });
    for (const { sessionId } of next.data) {
      if (history.length >= limit) break;
      const turns = await deps.store.turns.list({ tenantId, sessionId, limit: limit - history.length, order: 'desc' });
      for (const turn of turns.data) history.push(await entryOf(deps, turn));
    }
    page = next.next ?? undefined;
  } while (page !== undefined && history.length < limit);
  return history;
}

async function entryOf({ store }: HttpDeps, turn: TurnRow): Promise<Entry> {
  const { tenantId, sessionId, id: turnId } = turn;
  const message = await store.events.find({ tenantId, sessionId, id: turn.eventId });
  const answer = await readTurnAnswer(store, { tenantId, sessionId, turnId });
  const named = message?.payload.model;
  return {
    id: turnId,
    timestamp: toTimestamp(turn.createdAt),
    message: lastTextOf(message?.payload),
    response: answer.text,
    model_used: answer.model ?? (typeof named === 'string' ? named : null),
    tokens_used: answer.tokens,
    metadata: { outcome: turn.state, session_id: sessionId, ...(turn.error === null ? {} : { error: turn.error }) },
  };
}

/** What was sent as the message; what was told about it comes before. */
function lastTextOf(payload: JsonObject | undefined): string {
  const blocks = Array.isArray(payload?.content) ? payload.content : [];
  const text = blocks.flatMap((block) => (isJsonObject(block) && typeof block.text === 'string' ? [block.text] : [])).at(-1);
  return text ?? '';
}
