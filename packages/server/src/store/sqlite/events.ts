import type { EventStore } from '../store.ts';
import type { Connection } from './connection.ts';
import type { Engine } from './engine.ts';
import { filtersOf, listPage } from './listing.ts';
import { parseEvent } from './rows.ts';

const SELECT = 'SELECT * FROM events';
const FIND = `${SELECT} WHERE tenant_id = :tenantId AND session_id = :sessionId AND id = :id`;
const LIST_AFTER = `${SELECT} WHERE tenant_id = :tenantId AND session_id = :sessionId AND seq > :after ORDER BY seq LIMIT :limit`;

type ListInput = Parameters<EventStore['list']>[0];

export function createEventStore(engine: Engine): EventStore {
  return {
    list: (input) => engine.read((db) => list(db, input)),
    listAfter: ({ tenantId, sessionId, after, limit }) =>
      engine.read((db) => db.all(LIST_AFTER, { tenantId, sessionId, after, limit }).map(parseEvent)),
    find: ({ tenantId, sessionId, id }) =>
      engine.read((db) => {
        const row = db.get(FIND, { tenantId, sessionId, id });
        return row && parseEvent(row);
      }),
    onCommit: (listener) => engine.onCommit(listener),
  };
}

function list(db: Connection, { tenantId, sessionId, types, turnId, ...input }: ListInput) {
  const params = {
    tenantId,
    sessionId,
    ...(types !== undefined && { types: JSON.stringify(types) }),
    ...(turnId !== undefined && { turnId }),
  };
  const conditions = [
    'tenant_id = :tenantId',
    'session_id = :sessionId',
    types === undefined ? undefined : 'type IN (SELECT value FROM json_each(:types))',
    turnId === undefined ? undefined : 'turn_id = :turnId',
  ];
  return listPage(
    db,
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
