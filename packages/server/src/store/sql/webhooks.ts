import { invariant, PlatformError } from '../../base/errors.ts';
import type { WebhookDisabled, WebhookRow, WebhookSecret, WebhookStore } from '../store.ts';
import type { Engine } from './engine.ts';
import { filtersOf, listPage } from './listing.ts';
import { parseWebhook } from './outbox-rows.ts';
import { get, getAs, type Query, run, type Sql } from './query.ts';
import { integer } from './rows.ts';

const SELECT = 'SELECT * FROM webhooks';
const FIND = `${SELECT} WHERE tenant_id = :tenantId AND id = :id`;
const HOLD: Sql = ({ forUpdate }) => `${FIND} ${forUpdate()}`;
const COUNT = 'SELECT count(*) AS number FROM webhooks WHERE tenant_id = :tenantId';
const INSERT = `INSERT INTO webhooks (tenant_id, id, url, events, description, metadata, secrets, created_at, updated_at)
  VALUES (:tenantId, :id, :url, :events, :description, :metadata, :secrets, :now, :now)`;
const UPDATE = `UPDATE webhooks SET url = :url, events = :events, description = :description, metadata = :metadata,
    is_enabled = :isEnabled, disabled_reason = :disabledReason, failing_since = :failingSince, updated_at = :now
  WHERE tenant_id = :tenantId AND id = :id`;
const SET_SECRETS = 'UPDATE webhooks SET secrets = :secrets, updated_at = :now WHERE tenant_id = :tenantId AND id = :id';
const SUBSCRIBE = 'INSERT INTO webhook_subscriptions (tenant_id, event_type, webhook_id) VALUES (:tenantId, :type, :id)';
const UNSUBSCRIBE = 'DELETE FROM webhook_subscriptions WHERE tenant_id = :tenantId AND webhook_id = :id';
const REMOVE_DELIVERIES = 'DELETE FROM deliveries WHERE tenant_id = :tenantId AND target_id = :id';
const REMOVE = 'DELETE FROM webhooks WHERE tenant_id = :tenantId AND id = :id';
/** Apart from the sends that change nothing: most find an endpoint that works, and it stays unwritten. */
const MARK_WORKING = 'UPDATE webhooks SET failing_since = NULL WHERE tenant_id = :tenantId AND id = :id AND failing_since IS NOT NULL';
const MARK_FAILING = 'UPDATE webhooks SET failing_since = :now WHERE tenant_id = :tenantId AND id = :id AND failing_since IS NULL';
const DISABLE = `UPDATE webhooks SET is_enabled = 0, disabled_reason = :reason, updated_at = :now
  WHERE tenant_id = :tenantId AND id = :id AND is_enabled = 1`;

/** A receiver that is slow to change over is not cut off by many rotations; one signature each. */
const MAX_SECRETS = 5;

interface WebhookKey {
  readonly tenantId: string;
  readonly id: string;
}

export function createWebhookStore(engine: Engine): WebhookStore {
  return {
    create: (input) => engine.write(() => create(input)),
    find: ({ tenantId, id }) => engine.read(() => getAs(parseWebhook, FIND, { tenantId, id })),
    list: ({ tenantId, ...input }) =>
      engine.read(() =>
        listPage(
          {
            scope: ['webhooks', tenantId],
            select: SELECT,
            filters: filtersOf({ tenantId }, ['tenant_id = :tenantId']),
            keys: [
              { column: 'created_at', as: 'created_at' },
              { column: 'id', as: 'id' },
            ],
            parse: parseWebhook,
          },
          input,
        ),
      ),
    update: (input) => engine.write(() => update(input)),
    rotate: (input) => engine.write(() => rotate(input)),
    remove: ({ tenantId, id }) =>
      engine.write(function* () {
        for (const sql of [UNSUBSCRIBE, REMOVE_DELIVERIES]) yield* run(sql, { tenantId, id });
        return (yield* run(REMOVE, { tenantId, id })) > 0;
      }),
  };
}

function* create({ events, metadata, secret, max, ...input }: Parameters<WebhookStore['create']>[0]): Query<WebhookRow> {
  const { tenantId, id, url, description, now } = input;
  const existing = yield* getAs(parseWebhook, FIND, { tenantId, id });
  if (existing !== undefined) return existing;
  const counted = yield* get(COUNT, { tenantId });
  if (counted !== undefined && integer(counted, 'number') >= max)
    throw new PlatformError('webhook_limit_reached', { detail: `There are ${max} webhooks, and more are not allowed.` });
  yield* run(INSERT, {
    tenantId,
    id,
    url,
    description,
    now,
    events: JSON.stringify(events),
    metadata: JSON.stringify(metadata),
    secrets: secretsText([{ value: secret, until: null }]),
  });
  return yield* subscribed(input);
}

function* update({ tenantId, id, now, ...input }: Parameters<WebhookStore['update']>[0]): Query<WebhookRow> {
  const current = yield* holdWebhook({ tenantId, id });
  const isEnabled = input.isEnabled ?? current.isEnabled;
  // Only what was asked to stop while it worked was stopped by request.
  const disabledReason = isEnabled ? null : (current.disabledReason ?? 'request');
  yield* run(UPDATE, {
    tenantId,
    id,
    now,
    url: input.url ?? current.url,
    events: JSON.stringify(input.events ?? current.events),
    description: input.description === undefined ? current.description : input.description,
    metadata: JSON.stringify(input.metadata ?? current.metadata),
    isEnabled: isEnabled ? 1 : 0,
    disabledReason,
    failingSince: input.isEnabled === true ? null : current.failingSince,
  });
  return yield* subscribed({ tenantId, id });
}

function* rotate({ tenantId, id, secret, keepUntil, now }: Parameters<WebhookStore['rotate']>[0]): Query<WebhookRow> {
  const { secrets } = yield* holdWebhook({ tenantId, id });
  const former = secrets
    .map(({ value, until }) => ({ value, until: until ?? keepUntil }))
    .filter(({ until }) => until > now)
    .slice(0, MAX_SECRETS - 1);
  yield* run(SET_SECRETS, { tenantId, id, now, secrets: secretsText([{ value: secret, until: null }, ...former]) });
  return yield* requireWebhook({ tenantId, id });
}

/** Brings the subscriptions in line with the endpoint: those of its types while it is enabled, else none. */
function* subscribed(key: WebhookKey): Query<WebhookRow> {
  const { tenantId, id } = key;
  const webhook = yield* requireWebhook(key);
  yield* run(UNSUBSCRIBE, { tenantId, id });
  if (webhook.isEnabled) for (const type of new Set(webhook.events)) yield* run(SUBSCRIBE, { tenantId, id, type });
  return webhook;
}

function* holdWebhook({ tenantId, id }: WebhookKey): Query<WebhookRow> {
  const webhook = yield* getAs(parseWebhook, HOLD, { tenantId, id });
  if (webhook === undefined) throw new PlatformError('webhook_not_found');
  return webhook;
}

function* requireWebhook({ tenantId, id }: WebhookKey): Query<WebhookRow> {
  const webhook = yield* getAs(parseWebhook, FIND, { tenantId, id });
  invariant(webhook !== undefined, 'a webhook that was just written exists');
  return webhook;
}

function secretsText(secrets: readonly WebhookSecret[]): string {
  return JSON.stringify(secrets);
}

export function* markWorking({ tenantId, id }: WebhookKey): Query<void> {
  yield* run(MARK_WORKING, { tenantId, id });
}

/** Returns since when it has only failed; now, when it is gone or did not fail before. */
export function* markFailing({ tenantId, id }: WebhookKey, now: number): Query<number> {
  yield* run(MARK_FAILING, { tenantId, id, now });
  return (yield* getAs(parseWebhook, FIND, { tenantId, id }))?.failingSince ?? now;
}

/** Nothing is added for it from now on. What is left of it is given up when it falls due, unless it is enabled before. */
export function* disableWebhook({ tenantId, id }: WebhookKey, reason: WebhookDisabled, now: number): Query<void> {
  yield* run(DISABLE, { tenantId, id, reason, now });
  yield* run(UNSUBSCRIBE, { tenantId, id });
}
