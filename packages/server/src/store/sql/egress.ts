import { EGRESS_OUTCOMES, EGRESS_WAYS, type EgressRecord, type EgressStore, type EgressUsage } from '../store.ts';
import type { Engine } from './engine.ts';
import { filtersOf, listPage } from './listing.ts';
import { getAs, type Row, run, type Sql } from './query.ts';
import { integer, oneOf, optionalInteger, optionalText, text } from './rows.ts';

const SELECT = 'SELECT * FROM egress_audit';
const OF_SESSION = 'tenant_id = :tenantId AND session_id = :sessionId';
const INSERT = `INSERT INTO egress_audit (tenant_id, session_id, id, sandbox_id, way, method, host, port, address, outcome, reason,
    times, bytes_up, bytes_down, ending, created_at, ended_at)
  SELECT s.tenant_id, s.id, :id, :sandboxId, :way, :method, :host, :port, :address, :outcome, :reason,
    :times, :bytesUp, :bytesDown, :ending, :createdAt, :endedAt
  FROM sessions s WHERE s.tenant_id = :tenantId AND s.id = :sessionId ON CONFLICT DO NOTHING`;
const END = `UPDATE egress_audit SET bytes_up = :bytesUp, bytes_down = :bytesDown, ending = :ending, ended_at = :endedAt
  WHERE ${OF_SESSION} AND id = :id`;
const USE = `INSERT INTO egress_usage (tenant_id, session_id, requests, bytes)
  SELECT s.tenant_id, s.id, :requests, :bytes FROM sessions s WHERE s.tenant_id = :tenantId AND s.id = :sessionId
  ON CONFLICT (tenant_id, session_id)
  DO UPDATE SET requests = egress_usage.requests + excluded.requests, bytes = egress_usage.bytes + excluded.bytes`;
const USAGE = `SELECT requests, bytes FROM egress_usage WHERE ${OF_SESSION}`;
/** The first that is not kept, and what is older. */
const TRIM = `DELETE FROM egress_audit WHERE ${OF_SESSION} AND id IN
  (SELECT id FROM egress_audit WHERE ${OF_SESSION} ORDER BY created_at DESC, id DESC LIMIT :limit OFFSET :keep)`;
const PURGE: Sql = ({ forUpdateSkipLocked }) => `DELETE FROM egress_audit WHERE id IN
  (SELECT id FROM egress_audit WHERE created_at < :before ORDER BY created_at LIMIT :limit ${forUpdateSkipLocked('egress_audit')})`;

export function createEgressStore(engine: Engine): EgressStore {
  return {
    async record({ records, endings, used }) {
      await engine.write(function* () {
        for (const record of records) yield* run(INSERT, { ...record });
        for (const { tenantId, sessionId, id, bytesUp, bytesDown, ending, endedAt } of endings)
          yield* run(END, { tenantId, sessionId, id, bytesUp, bytesDown, ending, endedAt });
        // In one order, so that two servers never wait for each other.
        const ordered = used.toSorted((a, b) => (a.sessionId < b.sessionId ? -1 : 1));
        for (const { tenantId, sessionId, requests, bytes } of ordered) yield* run(USE, { tenantId, sessionId, requests, bytes });
      });
    },
    usage: ({ tenantId, sessionId }) =>
      engine.read(function* () {
        return (yield* getAs(parseUsage, USAGE, { tenantId, sessionId })) ?? { requests: 0, bytes: 0 };
      }),
    list: ({ tenantId, sessionId, outcome, ...input }) =>
      engine.read(() =>
        listPage(
          {
            scope: ['egress', tenantId, sessionId, outcome ?? ''],
            select: SELECT,
            filters: filtersOf({ tenantId, sessionId, ...(outcome === undefined ? {} : { outcome }) }, [
              OF_SESSION,
              outcome === undefined ? undefined : 'outcome = :outcome',
            ]),
            keys: [
              { column: 'created_at', as: 'created_at' },
              { column: 'id', as: 'id' },
            ],
            parse: parseRecord,
          },
          input,
        ),
      ),
    trim: ({ tenantId, sessionId, keep, limit }) => engine.write(() => run(TRIM, { tenantId, sessionId, keep, limit })),
    purge: ({ before, limit }) => engine.write(() => run(PURGE, { before, limit })),
  };
}

function parseUsage(row: Row): EgressUsage {
  return { requests: integer(row, 'requests'), bytes: integer(row, 'bytes') };
}

function parseRecord(row: Row): EgressRecord {
  return {
    id: text(row, 'id'),
    tenantId: text(row, 'tenant_id'),
    sessionId: text(row, 'session_id'),
    sandboxId: text(row, 'sandbox_id'),
    way: oneOf(row, 'way', EGRESS_WAYS),
    method: text(row, 'method'),
    host: text(row, 'host'),
    port: integer(row, 'port'),
    address: optionalText(row, 'address'),
    outcome: oneOf(row, 'outcome', EGRESS_OUTCOMES),
    reason: text(row, 'reason'),
    times: integer(row, 'times'),
    bytesUp: integer(row, 'bytes_up'),
    bytesDown: integer(row, 'bytes_down'),
    ending: optionalText(row, 'ending'),
    createdAt: integer(row, 'created_at'),
    endedAt: optionalInteger(row, 'ended_at'),
  };
}
