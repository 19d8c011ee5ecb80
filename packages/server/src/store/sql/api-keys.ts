import type { ApiKeyStore } from '../store.ts';
import type { Engine } from './engine.ts';
import { get, run } from './query.ts';
import { integer, text } from './rows.ts';

const ENSURE = `INSERT INTO api_keys (tenant_id, id, name, role, hash, created_at)
  VALUES (:tenantId, :id, :name, :role, :hash, :now) ON CONFLICT (hash) DO NOTHING`;
const FIND = 'SELECT * FROM api_keys WHERE hash = :hash';

export function createApiKeyStore(engine: Engine): ApiKeyStore {
  return {
    async ensure({ tenantId, id, name, role, hash, now }) {
      await engine.write(() => run(ENSURE, { tenantId, id, name, role, hash, now }));
    },
    findByHash: ({ hash }) =>
      engine.read(function* () {
        const row = yield* get(FIND, { hash });
        if (row === undefined) return undefined;
        // The only role there is, by a CHECK of the table.
        return {
          id: text(row, 'id'),
          tenantId: text(row, 'tenant_id'),
          name: text(row, 'name'),
          role: 'admin',
          hash: text(row, 'hash'),
          createdAt: integer(row, 'created_at'),
        };
      }),
  };
}
