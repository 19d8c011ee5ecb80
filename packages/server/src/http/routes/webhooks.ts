import {
  pageOf,
  webhookCreateSchema,
  webhookDeletedSchema,
  webhookDeliveryListQuerySchema,
  webhookDeliverySchema,
  webhookListQuerySchema,
  webhookSchema,
  webhookUpdateSchema,
  webhookWithSecretSchema,
} from '@cloister/api';
import { type RouteTable, route } from '../openapi.ts';
import { toPage } from './paging.ts';

const tag = 'Webhooks';
const MISSING = ['webhook_not_found'] as const;

export function webhookRoutes(table: RouteTable): void {
  resourceRoutes(table);
  actionRoutes(table);
  deliveryRoutes(table);
}

function resourceRoutes(table: RouteTable): void {
  const { webhooks } = table.deps;
  route(
    table,
    {
      method: 'post',
      path: '/v1/webhooks',
      operationId: 'createWebhook',
      summary: 'Create a webhook; the answer alone shows its secret',
      tag,
      body: webhookCreateSchema,
      response: webhookWithSecretSchema,
      problems: ['webhook_limit_reached'],
    },
    ({ tenantId, body, reservation }) => webhooks.create(tenantId, body, reservation.idFor('webhook')),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/webhooks',
      operationId: 'listWebhooks',
      summary: 'List webhooks',
      tag,
      query: webhookListQuerySchema,
      response: pageOf(webhookSchema),
      problems: ['cursor_invalid'],
    },
    async ({ tenantId, query }) => toPage(await webhooks.list(tenantId, { limit: query.limit, page: query.page, order: 'desc' })),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/webhooks/{id}',
      operationId: 'getWebhook',
      summary: 'Get a webhook',
      tag,
      response: webhookSchema,
      problems: MISSING,
    },
    ({ tenantId, param }) => webhooks.get(tenantId, param('id')),
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/webhooks/{id}',
      operationId: 'updateWebhook',
      summary: 'Change a webhook, stop it, or enable it again',
      tag,
      body: webhookUpdateSchema,
      response: webhookSchema,
      problems: MISSING,
    },
    ({ tenantId, body, param }) => webhooks.update(tenantId, param('id'), body),
  );
  route(
    table,
    {
      method: 'delete',
      path: '/v1/webhooks/{id}',
      operationId: 'deleteWebhook',
      summary: 'Delete a webhook with its deliveries',
      tag,
      response: webhookDeletedSchema,
      problems: MISSING,
    },
    async ({ tenantId, param }) => {
      await webhooks.remove(tenantId, param('id'));
      return { id: param('id'), type: 'webhook_deleted' as const };
    },
  );
}

function actionRoutes(table: RouteTable): void {
  const { webhooks } = table.deps;
  route(
    table,
    {
      method: 'post',
      path: '/v1/webhooks/{id}/rotate_secret',
      operationId: 'rotateWebhookSecret',
      summary: 'Make a new secret; the former one signs too for 24 hours',
      tag,
      response: webhookWithSecretSchema,
      problems: MISSING,
    },
    ({ tenantId, param }) => webhooks.rotateSecret(tenantId, param('id')),
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/webhooks/{id}/test',
      operationId: 'testWebhook',
      summary: 'Send a `webhook.test` event; answers the delivery to watch',
      tag,
      response: webhookDeliverySchema,
      problems: MISSING,
    },
    ({ tenantId, param }) => webhooks.test(tenantId, param('id')),
  );
}

function deliveryRoutes(table: RouteTable): void {
  const { webhooks } = table.deps;
  route(
    table,
    {
      method: 'get',
      path: '/v1/webhooks/{id}/deliveries',
      operationId: 'listWebhookDeliveries',
      summary: 'List deliveries, the newest first; they are kept for 30 days after their end',
      tag,
      query: webhookDeliveryListQuerySchema,
      response: pageOf(webhookDeliverySchema),
      problems: [...MISSING, 'cursor_invalid'],
    },
    async ({ tenantId, query, param }) => {
      const { limit, page, state } = query;
      return toPage(await webhooks.listDeliveries(tenantId, param('id'), { limit, page, state, order: 'desc' }));
    },
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/webhooks/{id}/deliveries/{delivery_id}/retry',
      operationId: 'retryWebhookDelivery',
      summary: 'Send a delivery again, now and under its id',
      tag,
      response: webhookDeliverySchema,
      problems: [...MISSING, 'delivery_not_found', 'webhook_disabled'],
    },
    ({ tenantId, param }) => webhooks.retryDelivery(tenantId, param('id'), param('delivery_id')),
  );
}
