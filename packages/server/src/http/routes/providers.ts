import { providerListSchema, providerPolicySchema, providerPolicyUpdateSchema } from '@cloister/api';
import { type RouteTable, route } from '../openapi.ts';

/** Whose keys a tenant's model calls are made with. */
export function providerRoutes(table: RouteTable): void {
  const { providers, access } = table.deps;
  const tag = 'Providers';
  route(
    table,
    {
      method: 'get',
      path: '/v1/providers',
      operationId: 'listProviders',
      summary: 'The model providers that there is a key for, and whose it is',
      tag,
      response: providerListSchema,
    },
    ({ tenantId }) => providers.list(tenantId),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/tenants/{id}/provider_policy',
      operationId: 'getProviderPolicy',
      summary: "Whether a tenant may use the operator's provider keys",
      tag,
      response: providerPolicySchema,
      problems: ['tenant_not_found'],
    },
    async ({ param }) => {
      await access.tenants.get(param('id'));
      return providers.policy(param('id'));
    },
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/tenants/{id}/provider_policy',
      operationId: 'setProviderPolicy',
      summary: "Let a tenant use the operator's provider keys, or not",
      tag,
      body: providerPolicyUpdateSchema,
      response: providerPolicySchema,
      problems: ['tenant_not_found'],
    },
    async ({ param, body }) => {
      await access.tenants.get(param('id'));
      return providers.setPolicy(param('id'), body);
    },
  );
}
