import { PlatformError } from '../../base/errors.ts';
import type { EnvironmentRow, EnvironmentStore } from '../store.ts';
import { tellOf } from './deliveries.ts';
import type { Engine } from './engine.ts';
import { filtersOf, listPage } from './listing.ts';
import { get, type Query, run } from './query.ts';
import { parseEnvironment } from './rows.ts';

const SELECT = 'SELECT * FROM environments';
const FIND = `${SELECT} WHERE tenant_id = :tenantId AND id = :id`;
const INSERT = `INSERT INTO environments (tenant_id, id, definition, created_at, updated_at)
  VALUES (:tenantId, :id, :definition, :now, :now) ON CONFLICT DO NOTHING`;
const UPDATE = 'UPDATE environments SET definition = :definition, updated_at = :now WHERE tenant_id = :tenantId AND id = :id';
const ARCHIVE = `UPDATE environments SET archived_at = :now, updated_at = :now
  WHERE tenant_id = :tenantId AND id = :id AND archived_at IS NULL`;
const REMOVE = 'DELETE FROM environments WHERE tenant_id = :tenantId AND id = :id';

export function createEnvironmentStore(engine: Engine): EnvironmentStore {
  return {
    create({ tenantId, id, definition, now }) {
      return engine.write(function* (tx) {
        if ((yield* run(INSERT, { tenantId, id, definition: JSON.stringify(definition), now })) === 0)
          return yield* requireEnvironment(tenantId, id);
        yield* tellOf(tx, { type: 'environment.created', data: { id } }, { tenantId, sessionId: null });
        return yield* requireEnvironment(tenantId, id);
      });
    },
    find: ({ tenantId, id }) => engine.read(() => findEnvironment(tenantId, id)),
    list: ({ tenantId, includeArchived, ...input }) =>
      engine.read(() =>
        listPage(
          {
            scope: ['environments', tenantId],
            select: SELECT,
            filters: filtersOf({ tenantId }, ['tenant_id = :tenantId', includeArchived ? undefined : 'archived_at IS NULL']),
            keys: [
              { column: 'created_at', as: 'created_at' },
              { column: 'id', as: 'id' },
            ],
            parse: parseEnvironment,
          },
          input,
        ),
      ),
    update({ tenantId, id, definition, now }) {
      return engine.write(function* (tx) {
        if ((yield* requireEnvironment(tenantId, id)).archivedAt !== null) throw new PlatformError('environment_archived');
        yield* run(UPDATE, { tenantId, id, definition: JSON.stringify(definition), now });
        yield* tellOf(tx, { type: 'environment.updated', data: { id } }, { tenantId, sessionId: null });
        return yield* requireEnvironment(tenantId, id);
      });
    },
    archive({ tenantId, id, now }) {
      return engine.write(function* (tx) {
        const changed = yield* run(ARCHIVE, { tenantId, id, now });
        if (changed > 0) yield* tellOf(tx, { type: 'environment.archived', data: { id } }, { tenantId, sessionId: null });
        return yield* requireEnvironment(tenantId, id);
      });
    },
    remove({ tenantId, id }) {
      return engine.write(function* (tx) {
        const isRemoved = (yield* run(REMOVE, { tenantId, id })) > 0;
        if (isRemoved) yield* tellOf(tx, { type: 'environment.deleted', data: { id } }, { tenantId, sessionId: null });
        return isRemoved;
      });
    },
  };
}

function* findEnvironment(tenantId: string, id: string): Query<EnvironmentRow | undefined> {
  const row = yield* get(FIND, { tenantId, id });
  return row && parseEnvironment(row);
}

function* requireEnvironment(tenantId: string, id: string): Query<EnvironmentRow> {
  const environment = yield* findEnvironment(tenantId, id);
  if (environment === undefined) throw new PlatformError('environment_not_found');
  return environment;
}
