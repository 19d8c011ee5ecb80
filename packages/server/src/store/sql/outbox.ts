import { PlatformError } from '../../base/errors.ts';
import { type DeliveryRow, FAILING_LIMIT_MS, type OutboxStore, type SettleInput } from '../store.ts';
import { addDelivery } from './deliveries.ts';
import type { Engine, Transaction } from './engine.ts';
import { appendEvents } from './event-log.ts';
import { filtersOf, listPage } from './listing.ts';
import { parseDelivery } from './outbox-rows.ts';
import { all, allAs, get, getAs, type Query, run, type Sql } from './query.ts';
import { integer, optionalInteger, text } from './rows.ts';
import { disableWebhook, markFailing, markWorking } from './webhooks.ts';

const FIND = 'SELECT * FROM deliveries WHERE tenant_id = :tenantId AND id = :id';
/** Jumps from target to target over the index, and knows of each when its first is due and how many are being sent. */
const TARGETS: (now: string) => string = (now) => `WITH RECURSIVE targets (id) AS (
    SELECT min(target_id) FROM deliveries WHERE due_at IS NOT NULL
    UNION ALL
    SELECT (SELECT min(d.target_id) FROM deliveries d WHERE d.due_at IS NOT NULL AND d.target_id > t.id)
    FROM targets t WHERE t.id IS NOT NULL
  ), candidates AS (
    SELECT t.id AS target_id,
      (SELECT min(d.due_at) FROM deliveries d WHERE d.target_id = t.id AND d.due_at IS NOT NULL) AS due_at,
      (SELECT count(*) FROM deliveries d WHERE d.target_id = t.id AND d.lease_owner IS NOT NULL AND d.due_at > ${now}) AS leased
    FROM targets t WHERE t.id IS NOT NULL
  )`;
const FREE = 'leased < :maxPerTarget AND target_id NOT IN';
const DUE_TARGETS: Sql = ({ now, listOf }) => `${TARGETS(now)}
  SELECT target_id FROM candidates WHERE ${FREE} ${listOf('except')} AND due_at <= ${now} ORDER BY due_at, target_id LIMIT :limit`;
const NEXT_DUE: Sql = ({ now, listOf }) => `${TARGETS(now)}
  SELECT min(due_at) - ${now} AS wait FROM candidates WHERE ${FREE} ${listOf('except')}`;
const LEASE: Sql = ({ now, forUpdateSkipLocked }) => `UPDATE deliveries
  SET attempt = attempt + 1, lease_owner = :nodeId, due_at = ${now} + :leaseMs, last_attempt_at = :now
  WHERE position = (SELECT position FROM deliveries WHERE target_id = :targetId AND due_at IS NOT NULL AND due_at <= ${now}
    ORDER BY due_at, position LIMIT 1 ${forUpdateSkipLocked('deliveries')})
  RETURNING *`;

/** What a lease holds: its own attempt, not yet ended. Part of every statement that settles one. */
const HOLDS = 'id = :id AND attempt = :attempt AND lease_owner IS NOT NULL';
const SENT = `UPDATE deliveries SET state = 'sent', due_at = NULL, lease_owner = NULL, last_status = :status, last_error = NULL,
    ended_at = :now WHERE ${HOLDS} RETURNING *`;
const FAILED = `UPDATE deliveries SET state = 'failed', due_at = NULL, lease_owner = NULL, failures = failures + 1,
    last_status = :status, last_error = :error, ended_at = :now WHERE ${HOLDS} RETURNING *`;
const RETRY: Sql = ({ now }) => `UPDATE deliveries SET state = :state, due_at = ${now} + :afterMs, lease_owner = NULL,
    failures = failures + 1, last_status = :status, last_error = :error WHERE ${HOLDS} RETURNING *`;
const RETURNED: Sql = ({ now }) => `UPDATE deliveries SET due_at = ${now}, lease_owner = NULL WHERE ${HOLDS} RETURNING *`;
const AGAIN: Sql = ({ now }) => `UPDATE deliveries SET state = 'pending', due_at = ${now}, lease_owner = NULL, failures = 0, ended_at = NULL
  WHERE tenant_id = :tenantId AND target_id = :targetId AND id = :id AND (lease_owner IS NULL OR due_at <= ${now})`;
const TAKE_OVER: Sql = ({ now }) => `UPDATE deliveries SET due_at = ${now}, lease_owner = NULL
  WHERE lease_owner IS NOT NULL AND lease_owner <> :nodeId`;
const FIND_OF_TARGET = `${FIND} AND target_id = :targetId`;
const HOLD_SESSION: Sql = ({ forUpdate }) => `SELECT id FROM sessions WHERE tenant_id = :tenantId AND id = :sessionId ${forUpdate()}`;
const COUNTS = `SELECT state, count(*) AS number FROM deliveries WHERE state <> 'sent' GROUP BY state`;
const PURGE = `DELETE FROM deliveries WHERE position IN
  (SELECT position FROM deliveries WHERE ended_at < :endedBefore ORDER BY ended_at LIMIT :limit)`;

/** A failed report of a failure is told to nobody, or two broken endpoints would go on telling of each other. */
const REPORT_TYPE = 'cloister.delivery.failed';

export function createOutboxStore(engine: Engine, onAdded: OutboxStore['onAdded']): OutboxStore {
  return {
    add: (input) =>
      engine.write(function* (tx) {
        const id = yield* addDelivery(tx, { ...input, sessionId: null });
        return yield* requireDelivery(input.tenantId, id);
      }),
    lease: (input) => engine.write(() => lease(input)),
    dueInMs: ({ maxPerTarget, except }) =>
      engine.read(function* () {
        const row = yield* get(NEXT_DUE, { maxPerTarget, except: JSON.stringify(except) });
        return row === undefined ? undefined : (optionalInteger(row, 'wait') ?? undefined);
      }),
    settle: (input) => engine.write((tx) => settle(tx, input)),
    takeOver: ({ nodeId }) => engine.write(() => run(TAKE_OVER, { nodeId })),
    retry: ({ tenantId, targetId, id }) =>
      engine.write(function* (tx) {
        if ((yield* run(AGAIN, { tenantId, targetId, id })) > 0) tx.wakeOutbox?.();
        return yield* getAs(parseDelivery, FIND_OF_TARGET, { tenantId, targetId, id });
      }),
    find: ({ tenantId, id }) => engine.read(() => getAs(parseDelivery, FIND, { tenantId, id })),
    list: (input) => engine.read(() => list(input)),
    counts: () => engine.read(countByState),
    purge: ({ endedBefore, limit }) => engine.write(() => run(PURGE, { endedBefore, limit })),
    onAdded,
  };
}

function* requireDelivery(tenantId: string, id: string): Query<DeliveryRow> {
  const delivery = yield* getAs(parseDelivery, FIND, { tenantId, id });
  if (delivery === undefined) throw new PlatformError('delivery_not_found');
  return delivery;
}

function* lease({ nodeId, leaseMs, limit, maxPerTarget, except, now }: Parameters<OutboxStore['lease']>[0]): Query<readonly DeliveryRow[]> {
  const targets = (yield* all(DUE_TARGETS, { maxPerTarget, limit, except: JSON.stringify(except) })).map((row) => text(row, 'target_id'));
  const leased: DeliveryRow[] = [];
  for (const targetId of targets) {
    const row = yield* getAs(parseDelivery, LEASE, { nodeId, leaseMs, targetId, now });
    if (row !== undefined) leased.push(row);
  }
  return leased;
}

function* settle(tx: Transaction, input: SettleInput): Query<void> {
  const delivery = yield* writeResult(input);
  if (delivery === undefined) throw new PlatformError('lease_lost', { detail: 'Another worker has taken over this delivery.' });
  if (delivery.kind === 'webhook') yield* noteHealth(delivery, input);
  if (input.result.kind === 'failed') yield* report(tx, delivery, input);
}

function* writeResult({ id, attempt, now, result }: SettleInput): Query<DeliveryRow | undefined> {
  const token = { id, attempt };
  switch (result.kind) {
    case 'sent':
      return yield* getAs(parseDelivery, SENT, { ...token, now, status: result.status });
    case 'failed':
      return yield* getAs(parseDelivery, FAILED, { ...token, now, status: result.status, error: result.error });
    case 'retry': {
      const { state, afterMs, status, error } = result;
      return yield* getAs(parseDelivery, RETRY, { ...token, state, afterMs, status, error });
    }
    case 'returned':
      return yield* getAs(parseDelivery, RETURNED, token);
  }
}

function* noteHealth({ tenantId, targetId }: DeliveryRow, { health, now }: SettleInput): Query<void> {
  const webhook = { tenantId, id: targetId };
  if (health === 'good') yield* markWorking(webhook);
  if (health === 'gone') yield* disableWebhook(webhook, 'gone', now);
  if (health === 'bad' && (yield* markFailing(webhook, now)) <= now - FAILING_LIMIT_MS) yield* disableWebhook(webhook, 'failing', now);
}

function* report(tx: Transaction, delivery: DeliveryRow, { result, now }: SettleInput): Query<void> {
  const { tenantId, sessionId, targetId, eventType } = delivery;
  if (result.kind !== 'failed' || sessionId === null) return;
  if ((yield* get(HOLD_SESSION, { tenantId, sessionId })) === undefined) return;
  const isExcepted = (webhookId: string) => eventType === REPORT_TYPE || webhookId === targetId;
  yield* appendEvents(tx, { tenantId, sessionId }, { events: [result.report], turnId: null, now, isExcepted });
}

function* list({ tenantId, targetId, state, ...input }: Parameters<OutboxStore['list']>[0]) {
  const params = { tenantId, targetId, ...(state !== undefined && { state }) };
  const conditions = ['tenant_id = :tenantId', 'target_id = :targetId', state === undefined ? undefined : 'state = :state'];
  return yield* listPage(
    {
      scope: ['deliveries', tenantId, targetId, state ?? ''],
      select: 'SELECT * FROM deliveries',
      filters: filtersOf(params, conditions),
      keys: [{ column: 'position', as: 'position' }],
      parse: parseDelivery,
    },
    input,
  );
}

function* countByState() {
  const rows = yield* allAs((row) => [text(row, 'state'), integer(row, 'number')] as const, COUNTS);
  const counts = new Map(rows);
  return { pending: counts.get('pending') ?? 0, unknown: counts.get('unknown') ?? 0, failed: counts.get('failed') ?? 0 };
}
