import type { EventStore } from '../store.ts';

import type { Engine } from './engine.ts';
import { filtersOf, listPage } from './listing.ts';
import { allAs, type Dialect, getAs } from './query.ts';
import { parseEvent } from './rows.ts';

const SELECT = 'SELECT * FROM events';
const FIND = `${SELECT} WHERE tenant_id = :tenantId AND session_id = :sessionId AND id = :id`;
const LIST_AFTER = `${SELECT} WHERE tenant_id = :tenantId AND session_id = :sessionId AND seq > :after ORDER BY seq LIMIT :limit`;

type ListInput = Parameters<EventStore['list']>[0];

export function createEventStore(engine: Engine): EventStore {
  return {
    list: (input) => engine.read(() => list(input)),
    listAfter: ({ tenantId, sessionId, after, limit }) =>
      engine.read(() => allAs(parseEvent, LIST_AFTER, { tenantId, sessionId, after, limit })),
    find: ({ tenantId, sessionId, id }) => engine.read(() => getAs(parseEvent, FIND, { tenantId, sessionId, id })),
    onCommit: (listener) => engine.onCommit(listener),
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
