import type { EncryptionKeyRow, SealedRow, SealedStore, SealedTable } from '../store.ts';
import type { Engine } from './engine.ts';
import { allAs, get, type Row, run } from './query.ts';
import { integer, text } from './rows.ts';

/** The column with the sealed text, and the one that tells rows of a tenant apart. */
const PLACES: Readonly<Record<SealedTable, { readonly id: string; readonly column: string }>> = {
  vault_credentials: { id: 'id', column: 'sealed' },
  webhooks: { id: 'id', column: 'secrets' },
  services: { id: 'id', column: 'spec' },
  requests: { id: 'key', column: 'body' },
  turn_callbacks: { id: 'turn_id', column: 'secret' },
};

const KEYS = 'SELECT * FROM encryption_keys ORDER BY created_at, id';
const CURRENT = 'SELECT id FROM encryption_keys WHERE is_current = 1';
const ADOPT = `INSERT INTO encryption_keys (id, is_current, created_at)
  SELECT :id, 1, :now WHERE NOT EXISTS (SELECT 1 FROM encryption_keys WHERE is_current = 1) ON CONFLICT DO NOTHING`;
const DEMOTE = 'UPDATE encryption_keys SET is_current = 0 WHERE is_current = 1 AND id <> :id';
const PROMOTE = `INSERT INTO encryption_keys (id, is_current, created_at) VALUES (:id, 1, :now)
  ON CONFLICT (id) DO UPDATE SET is_current = 1`;
const FORGET = 'DELETE FROM encryption_keys WHERE id = :id AND is_current = 0';

export function createSealedStore(engine: Engine): SealedStore {
  return {
    keys: () => engine.read(() => allAs(parseKey, KEYS)),
    adopt: ({ id, now }) =>
      engine.write(function* () {
        yield* run(ADOPT, { id, now });
        const row = yield* get(CURRENT);
        // Nothing was inserted only because there is one, or because another has just been committed.
        return row === undefined ? id : text(row, 'id');
      }),
    async makeCurrent({ id, now }) {
      await engine.write(function* () {
        yield* run(DEMOTE, { id });
        yield* run(PROMOTE, { id, now });
      });
    },
    forget: ({ id }) =>
      engine.write(function* () {
        return (yield* run(FORGET, { id })) > 0;
      }),
    page({ table, after, limit }) {
      const { id, column } = PLACES[table];
      const sql = `SELECT tenant_id, ${id} AS id, ${column} AS sealed_text FROM ${table}
        WHERE ${column} IS NOT NULL AND (tenant_id, ${id}) > (:afterTenant, :afterId) ORDER BY tenant_id, ${id} LIMIT :limit`;
      return engine.read(() => allAs(parseSealedRow, sql, { afterTenant: after.tenantId, afterId: after.id, limit }));
    },
    replace({ table, tenantId, id: name, from, to }) {
      const { id, column } = PLACES[table];
      const sql = `UPDATE ${table} SET ${column} = :to WHERE tenant_id = :tenantId AND ${id} = :name AND ${column} = :from`;
      return engine.write(function* () {
        return (yield* run(sql, { tenantId, name, from, to })) > 0;
      });
    },
  };
}

function parseKey(row: Row): EncryptionKeyRow {
  return { id: text(row, 'id'), isCurrent: integer(row, 'is_current') === 1, createdAt: integer(row, 'created_at') };
}

function parseSealedRow(row: Row): SealedRow {
  return { tenantId: text(row, 'tenant_id'), id: text(row, 'id'), text: text(row, 'sealed_text') };
}
