import type { CallbackRow, CallbackStore } from '../store.ts';
import type { Engine } from './engine.ts';
import { getAs, type Row, run } from './query.ts';
import { integer, json, text } from './rows.ts';

/** A repeat under an Idempotency-Key comes with a turn id that is never used; its row is purged with the others. */
const INSERT = `INSERT INTO turn_callbacks (tenant_id, turn_id, session_id, adapter, target_id, url, secret, data, created_at)
  VALUES (:tenantId, :turnId, :sessionId, :adapter, :targetId, :url, :secret, :data, :now)`;
const FIND = 'SELECT * FROM turn_callbacks WHERE tenant_id = :tenantId AND turn_id = :turnId';
const PURGE = `DELETE FROM turn_callbacks WHERE turn_id IN
  (SELECT turn_id FROM turn_callbacks WHERE created_at < :before ORDER BY created_at LIMIT :limit)`;

export function createCallbackStore(engine: Engine): CallbackStore {
  return {
    async add({ tenantId, turnId, sessionId, adapter, targetId, url, secret, data, now }) {
      const row = { tenantId, turnId, sessionId, adapter, targetId, url, secret, data: JSON.stringify(data), now };
      await engine.write(() => run(INSERT, row));
    },
    find: ({ tenantId, turnId }) => engine.read(() => getAs(parseCallback, FIND, { tenantId, turnId })),
    purge: ({ before, limit }) => engine.write(() => run(PURGE, { before, limit })),
  };
}

function parseCallback(row: Row): CallbackRow {
  return {
    tenantId: text(row, 'tenant_id'),
    turnId: text(row, 'turn_id'),
    sessionId: text(row, 'session_id'),
    adapter: text(row, 'adapter'),
    url: text(row, 'url'),
    secret: text(row, 'secret'),
    data: json(row, 'data'),
    createdAt: integer(row, 'created_at'),
  };
}
