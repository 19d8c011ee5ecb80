import type { AuditSeal, SealedCheckpoint, SealedEntry, SealedHead } from '../../core/audit-chain.ts';
import type { AuditReader, AuditStore, NewAuditEntry } from '../store.ts';
import type { Engine } from './engine.ts';
import { filtersOf, listPage } from './listing.ts';
import { all, allAs, type Dialect, get, getAs, type Query, type Row, run, type Sql } from './query.ts';
import { integer, optionalText, text } from './rows.ts';

const BEGIN_CHAIN = `INSERT INTO audit_heads (tenant_id, seq, mac, key_id, head_mac) VALUES (:tenantId, 0, '', :keyId, :headMac)
  ON CONFLICT DO NOTHING`;
const HEAD = 'SELECT * FROM audit_heads WHERE tenant_id = :tenantId';
const LOCK_HEAD: Sql = ({ forUpdate }) => `${HEAD} ${forUpdate()}`;
const MOVE_HEAD = 'UPDATE audit_heads SET seq = :seq, mac = :mac, key_id = :keyId, head_mac = :headMac WHERE tenant_id = :tenantId';
const KNOWN: Sql = ({ listOf }) => `SELECT id FROM audit_log WHERE tenant_id = :tenantId AND id IN ${listOf('ids')}`;
const INSERT = `INSERT INTO audit_log (tenant_id, seq, id, at, actor, action, subject, detail, previous, key_id, mac)
  VALUES (:tenantId, :seq, :id, :at, :actor, :action, :subject, :detail, :previous, :keyId, :mac)`;
const SELECT = 'SELECT * FROM audit_log';
const AFTER = `${SELECT} WHERE tenant_id = :tenantId AND seq > :seq ORDER BY seq LIMIT :limit`;
const CHECKPOINTS = 'SELECT * FROM audit_checkpoints WHERE tenant_id = :tenantId ORDER BY through_seq';
const TENANTS = 'SELECT tenant_id FROM audit_heads UNION SELECT tenant_id FROM audit_log UNION SELECT tenant_id FROM audit_checkpoints';
/** The last entry before the first one that is too young: a clock that was set back leaves no hole. */
const SEALABLE = `SELECT seq, mac FROM audit_log WHERE tenant_id = :tenantId AND seq < :headSeq AND seq <
    coalesce((SELECT min(seq) FROM audit_log WHERE tenant_id = :tenantId AND at >= :before), :headSeq)
  ORDER BY seq DESC LIMIT 1`;
const INSERT_CHECKPOINT = `INSERT INTO audit_checkpoints (tenant_id, through_seq, last_mac, sealed_at, key_id, mac)
  VALUES (:tenantId, :throughSeq, :lastMac, :sealedAt, :keyId, :mac)`;
/** The database lets go only of what a checkpoint stands for. */
const REMOVE_SEALED = `DELETE FROM audit_log WHERE tenant_id = :tenantId AND seq IN (SELECT seq FROM audit_log
  WHERE tenant_id = :tenantId AND seq <= (SELECT max(through_seq) FROM audit_checkpoints WHERE tenant_id = :tenantId) ORDER BY seq LIMIT :limit)`;

export function createAuditStore(engine: Engine): AuditStore {
  return {
    append: (input) => engine.write(() => append(input)),
    list: ({ tenantId, actor, actions, subject, createdGt, createdGte, createdLt, createdLte, ...input }) =>
      engine.read(() =>
        listPage(
          {
            scope: ['audit', tenantId, actor ?? '', subject ?? '', ...(actions ?? [])],
            select: SELECT,
            filters: filtersOf(
              {
                tenantId,
                ...(actor !== undefined && { actor }),
                ...(subject !== undefined && { subject }),
                ...(actions !== undefined && { actions: JSON.stringify(actions) }),
              },
              [
                'tenant_id = :tenantId',
                actor === undefined ? undefined : 'actor = :actor',
                subject === undefined ? undefined : 'subject = :subject',
                actions === undefined ? undefined : (dialect: Dialect) => `action IN ${dialect.listOf('actions')}`,
              ],
              { column: 'at', createdGt, createdGte, createdLt, createdLte },
            ),
            keys: [{ column: 'seq', as: 'seq' }],
            parse: parseEntry,
          },
          input,
        ),
      ),
    ...createAuditReader(engine.read),
    purge: (input) => engine.write(() => purge(input)),
  };
}

/** The reads that a proof needs, on a store or on a database that is only looked at. */
export function createAuditReader(read: Engine['read']): AuditReader {
  return {
    after: ({ tenantId, seq, limit }) => read(() => allAs(parseEntry, AFTER, { tenantId, seq, limit })),
    head: ({ tenantId }) => read(() => getAs(parseHead, HEAD, { tenantId })),
    checkpoints: ({ tenantId }) => read(() => allAs(parseCheckpoint, CHECKPOINTS, { tenantId })),
    tenants: () =>
      read(function* () {
        return (yield* all(TENANTS)).map((row) => text(row, 'tenant_id'));
      }),
  };
}

/** The head's row is held until the commit, so that entries of several servers come one after another. */
function* append({ tenantId, entries, seal }: Parameters<AuditStore['append']>[0]): Query<void> {
  const head = yield* holdHead(tenantId, seal);
  const known = new Set((yield* all(KNOWN, { tenantId, ids: JSON.stringify(entries.map(({ id }) => id)) })).map((row) => text(row, 'id')));
  yield* extend(
    head,
    entries.filter(({ id }) => !known.has(id)),
    seal,
  );
}

function* holdHead(tenantId: string, seal: AuditSeal): Query<SealedHead> {
  const held = yield* getAs(parseHead, LOCK_HEAD, { tenantId });
  if (held !== undefined) return held;
  const first = { tenantId, seq: 0, mac: '' };
  yield* run(BEGIN_CHAIN, { tenantId, keyId: seal.keyId, headMac: seal.head(first) });
  // Another server may have been quicker.
  return (yield* getAs(parseHead, LOCK_HEAD, { tenantId })) ?? { ...first, keyId: seal.keyId, headMac: seal.head(first) };
}

function* extend({ tenantId, seq: last, mac: lastMac }: SealedHead, entries: readonly NewAuditEntry[], seal: AuditSeal): Query<void> {
  if (entries.length === 0) return;
  let seq = last;
  let previous = lastMac;
  const { keyId } = seal;
  for (const { id, at, actor, action, subject, detail } of entries) {
    seq++;
    const entry = { tenantId, seq, id, at, actor, action, subject, detail, previous, keyId };
    const mac = seal.entry(entry);
    yield* run(INSERT, { ...entry, mac });
    previous = mac;
  }
  const head = { tenantId, seq, mac: previous };
  yield* run(MOVE_HEAD, { ...head, keyId, headMac: seal.head(head) });
}

function* purge({ tenantId, before, limit, seal, entry, now }: Parameters<AuditStore['purge']>[0]): Query<number> {
  const head = yield* holdHead(tenantId, seal);
  const last = yield* get(SEALABLE, { tenantId, headSeq: head.seq, before });
  const sealed = (yield* allAs(parseCheckpoint, CHECKPOINTS, { tenantId })).at(-1)?.throughSeq ?? 0;
  if (last !== undefined && integer(last, 'seq') > sealed) {
    const checkpoint = { tenantId, throughSeq: integer(last, 'seq'), lastMac: text(last, 'mac'), sealedAt: now, keyId: seal.keyId };
    yield* run(INSERT_CHECKPOINT, { ...checkpoint, mac: seal.checkpoint(checkpoint) });
    yield* extend(head, [entry(checkpoint.throughSeq)], seal);
  }
  return yield* run(REMOVE_SEALED, { tenantId, limit });
}

function parseEntry(row: Row): SealedEntry {
  return {
    tenantId: text(row, 'tenant_id'),
    seq: integer(row, 'seq'),
    id: text(row, 'id'),
    at: integer(row, 'at'),
    actor: text(row, 'actor'),
    action: text(row, 'action'),
    subject: text(row, 'subject'),
    detail: optionalText(row, 'detail'),
    previous: text(row, 'previous'),
    keyId: text(row, 'key_id'),
    mac: text(row, 'mac'),
  };
}

function parseHead(row: Row): SealedHead {
  return {
    tenantId: text(row, 'tenant_id'),
    seq: integer(row, 'seq'),
    mac: text(row, 'mac'),
    keyId: text(row, 'key_id'),
    headMac: text(row, 'head_mac'),
  };
}

function parseCheckpoint(row: Row): SealedCheckpoint {
  return {
    tenantId: text(row, 'tenant_id'),
    throughSeq: integer(row, 'through_seq'),
    lastMac: text(row, 'last_mac'),
    sealedAt: integer(row, 'sealed_at'),
    keyId: text(row, 'key_id'),
    mac: text(row, 'mac'),
  };
}
