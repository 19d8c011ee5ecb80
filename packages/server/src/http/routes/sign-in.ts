import {
  acceptInvitationSchema,
  type Me,
  meSchema,
  passwordChangeSchema,
  signedOutSchema,
  signInMethodsSchema,
  signInSchema,
} from '@cloister/api';
import { PlatformError } from '../../base/errors.ts';
import type { Principal } from '../../core/access.ts';
import { toWireScope } from '../../tenants/granting.ts';
import type { NewSignIn } from '../../tenants/sign-in.ts';
import { type FindOrigin, forgetSignIn, rememberCheck, rememberSignIn, requireSameOrigin, takeCheck } from '../browser.ts';
import type { AppContext } from '../context.ts';
import { type RouteTable, route } from '../openapi.ts';

const tag = 'Signing in';
const CALLBACK = '/v1/auth/oidc/callback';
const START = '/v1/auth/oidc/start';

/** How browsers get in and out. What lets somebody in answers with a cookie. */
export function signInRoutes(table: RouteTable, originOf: FindOrigin): void {
  passwordRoutes(table, originOf);
  signedInRoutes(table);
  oidcRoutes(table, originOf);
}

function passwordRoutes(table: RouteTable, originOf: FindOrigin): void {
  const { access } = table.deps;
  const { signIns, settings } = access;
  const letIn = (c: AppContext, signIn: NewSignIn): Promise<Me> => {
    rememberSignIn(c, originOf(c), signIn);
    return meOf(table, signIn.principal);
  };
  route(
    table,
    {
      method: 'post',
      path: '/v1/auth/sign_in',
      operationId: 'signIn',
      summary: 'Sign a browser in with address and password',
      tag,
      isPublic: true,
      keepsOwnKeys: true,
      body: signInSchema,
      response: meSchema,
      problems: [
        'sign_in_failed',
        'tenant_suspended',
        'csrf_refused',
        'rate_limited',
        'overloaded',
        'request_invalid',
        'store_unavailable',
      ],
    },
    async ({ c, body }) => {
      requireSameOrigin(c, settings.publicUrl);
      const succeed = table.limits.signInGuard.begin(c, body.email);
      const signIn = await signIns.withPassword(body);
      succeed();
      return letIn(c, signIn);
    },
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/auth/accept_invitation',
      operationId: 'acceptInvitation',
      summary: 'Become a person of a tenant by an invitation, and sign the browser in',
      tag,
      isPublic: true,
      keepsOwnKeys: true,
      body: acceptInvitationSchema,
      response: meSchema,
      problems: ['invitation_invalid', 'user_exists', 'csrf_refused', 'rate_limited', 'overloaded', 'request_invalid', 'store_unavailable'],
    },
    async ({ c, body }) => {
      requireSameOrigin(c, settings.publicUrl);
      const succeed = table.limits.signInGuard.begin(c, body.token);
      const signIn = await signIns.accept(body);
      succeed();
      return letIn(c, signIn);
    },
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/auth/methods',
      operationId: 'listSignInMethods',
      summary: 'How browsers can sign in here',
      tag,
      isPublic: true,
      response: signInMethodsSchema,
    },
    async () => ({
      type: 'sign_in_methods' as const,
      password: settings.passwords,
      oidc: access.oidc === undefined ? null : { start: START, name: access.oidc.name },
    }),
  );
}

function signedInRoutes(table: RouteTable): void {
  const { signIns } = table.deps.access;
  route(
    table,
    {
      method: 'get',
      path: '/v1/me',
      operationId: 'getMe',
      summary: 'Who you are here, and what you may',
      tag,
      response: meSchema,
    },
    ({ principal }) => meOf(table, principal),
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/auth/sign_out',
      operationId: 'signOut',
      summary: 'Sign this browser out',
      tag,
      keepsOwnKeys: true,
      response: signedOutSchema,
      problems: ['csrf_refused'],
    },
    async ({ c, principal }) => {
      const ended = await signIns.end(principal, requireSignIn(c));
      forgetSignIn(c);
      return { type: 'signed_out' as const, ended };
    },
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/auth/sign_out_everywhere',
      operationId: 'signOutEverywhere',
      summary: 'Sign all your browsers out',
      tag,
      keepsOwnKeys: true,
      response: signedOutSchema,
      problems: ['csrf_refused'],
    },
    async ({ c, principal }) => {
      requireSignIn(c);
      const ended = await signIns.end(principal, undefined);
      forgetSignIn(c);
      return { type: 'signed_out' as const, ended };
    },
  );
  route(
    table,
    {
      method: 'post',
      path: '/v1/auth/password',
      operationId: 'changePassword',
      summary: 'Change your password; your other browsers are signed out',
      tag,
      keepsOwnKeys: true,
      body: passwordChangeSchema,
      response: meSchema,
      problems: ['csrf_refused', 'sign_in_failed'],
    },
    async ({ c, principal, body }) => {
      const signInId = requireSignIn(c);
      const succeed = table.limits.signInGuard.begin(c, principal.id);
      await signIns.changePassword(principal, signInId, body);
      succeed();
      return meOf(table, principal);
    },
  );
}

function oidcRoutes(table: RouteTable, originOf: FindOrigin): void {
  const { oidc, signIns } = table.deps.access;
  const redirect = { mediaType: 'text/html', description: 'The way on: the answer is a redirect' };
  const missing = new PlatformError('route_not_found', { detail: 'No identity provider is configured here.' });
  const problems = ['route_not_found', 'sign_in_failed', 'sign_in_unavailable', 'rate_limited'] as const;
  route(
    table,
    {
      method: 'get',
      path: START,
      operationId: 'startOidc',
      summary: 'Send the browser to the identity provider',
      tag,
      isPublic: true,
      response: redirect,
      problems,
    },
    async ({ c }) => {
      if (oidc === undefined) throw missing;
      const origin = originOf(c);
      const { url, check } = await oidc.start(`${origin.baseUrl}${CALLBACK}`);
      rememberCheck(c, origin, check);
      return c.redirect(url);
    },
  );
  route(
    table,
    {
      method: 'get',
      path: CALLBACK,
      operationId: 'finishOidc',
      summary: 'Where the identity provider sends the browser back to',
      tag,
      isPublic: true,
      response: redirect,
      problems: [...problems, 'sign_in_refused', 'tenant_suspended', 'store_unavailable'],
    },
    async ({ c }) => {
      if (oidc === undefined) throw missing;
      const origin = originOf(c);
      const check = takeCheck(c);
      if (check === undefined)
        throw new PlatformError('sign_in_failed', { detail: 'The sign-in was not begun in this browser, or too long ago.' });
      const succeed = table.limits.signInGuard.begin(c, check.state);
      const signIn = await signIns.withIdentity(
        await oidc.finish(new URL(`${origin.baseUrl}${CALLBACK}${new URL(c.req.url).search}`), check),
      );
      succeed();
      rememberSignIn(c, origin, signIn);
      return c.redirect('/dashboard/#/signed-in');
    },
  );
}

/** Throws for who came with a key: there is nothing to sign out of. */
function requireSignIn(c: AppContext): string {
  const id = c.get('signInId');
  if (id === undefined) throw new PlatformError('permission_denied', { detail: 'Only a browser that has signed in can do this.' });
  return id;
}

async function meOf({ deps }: RouteTable, principal: Principal): Promise<Me> {
  const { kind, id, tenantId, role, scope, isOperator } = principal;
  const tenant = await deps.store.tenants.find({ id: tenantId });
  const user = kind === 'user' ? await deps.store.users.find({ tenantId, id }) : undefined;
  const key = kind === 'key' ? await deps.store.apiKeys.find({ tenantId, id }) : undefined;
  return {
    type: 'me',
    kind,
    id,
    name: user?.name ?? key?.name ?? '',
    email: user?.email ?? null,
    tenant: { id: tenantId, name: tenant?.name ?? tenantId },
    role,
    scope: toWireScope(scope),
    is_operator: isOperator,
  };
}
