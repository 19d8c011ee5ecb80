import {
  invitationCreateSchema,
  invitationDeletedSchema,
  invitationListQuerySchema,
  invitationSchema,
  invitationWithLinkSchema,
  pageOf,
  userDeletedSchema,
  userListQuerySchema,
  userSchema,
  userUpdateSchema,
} from '@cloister/api';
import type { FindOrigin } from '../browser.ts';
import { type RouteTable, route } from '../openapi.ts';
import { toPage } from './paging.ts';

const tag = 'People';
const MISSING = ['user_not_found'] as const;

export function userRoutes(table: RouteTable, originOf: FindOrigin): void {
  const { people } = table.deps.access;
  route(
    table,
    {
      method: 'get',
      path: '/v1/users',
      operationId: 'listUsers',
      summary: 'List the people of the tenant, the newest first',
      tag,
      query: userListQuerySchema,
      response: pageOf(userSchema),
      problems: ['cursor_invalid'],
    },
    async ({ tenantId, query: { limit, page } }) => toPage(await people.list(tenantId, { limit, page, order: 'desc' })),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/users/{id}',
      operationId: 'getUser',
      summary: 'Get a person',
      tag,
      response: userSchema,
      problems: MISSING,
    },
    ({ tenantId, param }) => people.get(tenantId, param('id')),
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/users/{id}',
      operationId: 'updateUser',
      summary: 'Change name, role or status of a person',
      tag,
      body: userUpdateSchema,
      response: userSchema,
      problems: [...MISSING, 'last_owner'],
    },
    ({ principal, body, param }) => people.update(principal, param('id'), body),
  );
  route(
    table,
    {
      method: 'delete',
      path: '/v1/users/{id}',
      operationId: 'deleteUser',
      summary: 'Remove a person with their sign-ins; keys they made stay',
      tag,
      response: userDeletedSchema,
      problems: [...MISSING, 'last_owner'],
    },
    async ({ principal, param }) => {
      await people.remove(principal, param('id'));
      return { id: param('id'), type: 'user_deleted' as const };
    },
  );
  invitationRoutes(table, originOf);
}

function invitationRoutes(table: RouteTable, originOf: FindOrigin): void {
  const { people } = table.deps.access;
  route(
    table,
    {
      method: 'post',
      path: '/v1/invitations',
      operationId: 'createInvitation',
      summary: 'Invite a person; the answer alone has the link',
      tag,
      body: invitationCreateSchema,
      response: invitationWithLinkSchema,
      unkept: ['link'],
      problems: ['user_exists'],
    },
    ({ c, principal, body }) => people.invite(principal, body, originOf(c).baseUrl),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/invitations',
      operationId: 'listInvitations',
      summary: 'List the open invitations, the newest first',
      tag,
      query: invitationListQuerySchema,
      response: pageOf(invitationSchema),
      problems: ['cursor_invalid'],
    },
    async ({ tenantId, query: { limit, page } }) => toPage(await people.listInvitations(tenantId, { limit, page, order: 'desc' })),
  );
  route(
    table,
    {
      method: 'delete',
      path: '/v1/invitations/{id}',
      operationId: 'deleteInvitation',
      summary: 'Take an invitation back',
      tag,
      response: invitationDeletedSchema,
      problems: ['invitation_not_found'],
    },
    async ({ principal, param }) => {
      await people.revokeInvitation(principal, param('id'));
      return { id: param('id'), type: 'invitation_deleted' as const };
    },
  );
}
