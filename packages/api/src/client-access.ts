import type { Json, PageOf, Query } from './client-calls.ts';
import type {
  AcceptInvitation,
  ApiKey,
  ApiKeyCreate,
  ApiKeyUpdate,
  ApiKeyWithSecret,
  Invitation,
  InvitationCreate,
  InvitationWithLink,
  Me,
  PasswordChange,
  SignedOut,
  SignIn,
  SignInMethods,
  Tenant,
  TenantCreate,
  TenantCreated,
  TenantUpdate,
  User,
  UserUpdate,
} from './wire/access.ts';

/** Tenants, people and keys: the part of the client that manages who may do what. */
export function accessOf(json: Json) {
  const one = (kind: string, id: string) => `/v1/${kind}/${encodeURIComponent(id)}`;
  return {
    me: () => json<Me>('GET', '/v1/me'),
    signIn: {
      methods: () => json<SignInMethods>('GET', '/v1/auth/methods'),
      /** The answer sets a cookie, which a browser then sends by itself. */
      withPassword: (body: SignIn) => json<Me>('POST', '/v1/auth/sign_in', { body }),
      accept: (body: AcceptInvitation) => json<Me>('POST', '/v1/auth/accept_invitation', { body }),
      changePassword: (body: PasswordChange) => json<Me>('POST', '/v1/auth/password', { body }),
      end: () => json<SignedOut>('POST', '/v1/auth/sign_out'),
      endEverywhere: () => json<SignedOut>('POST', '/v1/auth/sign_out_everywhere'),
    },
    keys: {
      list: (query: Query = {}) => json<PageOf<ApiKey>>('GET', '/v1/api_keys', { query }),
      get: (id: string) => json<ApiKey>('GET', one('api_keys', id)),
      /** The answer alone has the key. */
      create: (body: ApiKeyCreate) => json<ApiKeyWithSecret>('POST', '/v1/api_keys', { body }),
      update: (id: string, body: ApiKeyUpdate) => json<ApiKey>('POST', one('api_keys', id), { body }),
      revoke: (id: string) => json<ApiKey>('POST', `${one('api_keys', id)}/revoke`),
    },
    users: {
      list: (query: Query = {}) => json<PageOf<User>>('GET', '/v1/users', { query }),
      get: (id: string) => json<User>('GET', one('users', id)),
      update: (id: string, body: UserUpdate) => json<User>('POST', one('users', id), { body }),
      remove: (id: string) => json<{ id: string }>('DELETE', one('users', id)),
    },
    invitations: {
      list: (query: Query = {}) => json<PageOf<Invitation>>('GET', '/v1/invitations', { query }),
      create: (body: InvitationCreate) => json<InvitationWithLink>('POST', '/v1/invitations', { body }),
      remove: (id: string) => json<{ id: string }>('DELETE', one('invitations', id)),
    },
    tenants: {
      list: (query: Query = {}) => json<PageOf<Tenant>>('GET', '/v1/tenants', { query }),
      get: (id: string) => json<Tenant>('GET', one('tenants', id)),
      create: (body: TenantCreate) => json<TenantCreated>('POST', '/v1/tenants', { body }),
      update: (id: string, body: TenantUpdate) => json<Tenant>('POST', one('tenants', id), { body }),
      suspend: (id: string) => json<Tenant>('POST', `${one('tenants', id)}/suspend`),
      resume: (id: string) => json<Tenant>('POST', `${one('tenants', id)}/resume`),
      remove: (id: string) => json<Tenant>('DELETE', one('tenants', id)),
    },
  };
}
