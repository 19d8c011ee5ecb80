import type { EventStore } from '../store.ts';

import type { Engine } from './engine.ts';
import { filtersOf, listPage } from './listing.ts';
import { all, allAs, type Dialect, getAs, type Sql } from './query.ts';
import { integer, parseEvent, text } from './rows.ts';

const SELECT = 'SELECT * FROM events';
const FIND = `${SELECT} WHERE tenant_id = :tenantId AND session_id = :sessionId AND id = :id`;
const LIST_AFTER = `${SELECT} WHERE tenant_id = :tenantId AND session_id = :sessionId AND seq > :after ORDER BY seq LIMIT :limit`;
const FIRST_SEQ = 'SELECT seq FROM events WHERE tenant_id = :tenantId AND session_id = :sessionId ORDER BY seq LIMIT 1';
const HEADS: Sql = ({ listOf, orderedJoin }) =>
  `SELECT s.id, s.last_seq FROM ${listOf('ids')} i ${orderedJoin} sessions s ON s.id = i.value`;

type ListInput = Parameters<EventStore['list']>[0];

export function createEventStore(engine: Engine): EventStore {
  return {
    list: (input) => engine.read(() => list(input)),
    listAfter: ({ tenantId, sessionId, after, limit }) =>
      engine.read(() => allAs(parseEvent, LIST_AFTER, { tenantId, sessionId, after, limit })),
    firstSeq: ({ tenantId, sessionId }) => engine.read(() => getAs((row) => integer(row, 'seq'), FIRST_SEQ, { tenantId, sessionId })),
    find: ({ tenantId, sessionId, id }) => engine.read(() => getAs(parseEvent, FIND, { tenantId, sessionId, id })),
    heads: ({ sessionIds }) =>
      engine.read(function* () {
        const rows = yield* all(HEADS, { ids: JSON.stringify(sessionIds) });
        return new Map(rows.map((row) => [text(row, 'id'), integer(row, 'last_seq')]));
      }),
    onCommit: (listener) => engine.onCommit(listener),
    isShared: engine.peers !== undefined,
    publishPreview: (preview) => engine.peers?.publishPreview(preview),
    onPreview: (listener) => engine.peers?.onPreview(listener) ?? (() => undefined),
  };
}

function* list({ tenantId, sessionId, types, turnId, ...input }: ListInput) {
  const params = {
    tenantId,
    sessionId,
    ...(types !== undefined && { types: JSON.stringify(types) }),
    ...(turnId !== undefined && { turnId }),
  };
  const conditions = [
    'tenant_id = :tenantId',
    'session_id = :sessionId',
    types === undefined ? undefined : (dialect: Dialect) => `type IN ${dialect.listOf('types')}`,
    turnId === undefined ? undefined : 'turn_id = :turnId',
  ];
  return yield* listPage(
    {
      scope: ['events', tenantId, sessionId],
      select: SELECT,
      filters: filtersOf(params, conditions, input),
      keys: [{ column: 'seq', as: 'seq' }],
      parse: parseEvent,
    },
    input,
  );
}
