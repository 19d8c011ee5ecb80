import type { CredentialAuth, CredentialCreate, CredentialUpdate, KeyProvider } from '@cloister/api';
import { unsupported } from '../agents/definition.ts';
import { toTimestamp } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { asJsonObject, type JsonObject, type JsonValue } from '../base/json.ts';
import { weaknessOf } from '../base/weak-secret.ts';
import type { CredentialKind, CredentialRow } from '../store/store.ts';
import { type OauthTokens, packTokens, type RefreshSettings, refreshFields, refreshOf, unpackTokens } from './oauth-tokens.ts';

/** A credential as a request gives it, taken apart into what is told again and what never is. */
export interface ParsedAuth {
  readonly kind: CredentialKind;
  readonly target: string;
  readonly auth: JsonObject;
  /** Empty for a server that wants no key. */
  readonly secret: string;
}

const MIN_SECRET = 8;

/** Throws `secret_weak`, and `capability_unsupported` for published kinds that are not served here. */
export function parseAuth(param: CredentialCreate['auth'], now: number): ParsedAuth {
  switch (param.type) {
    case 'provider_key': {
      const { provider } = param;
      const baseUrl = param.base_url?.replace(/\/+$/, '') ?? null;
      const isOpen = provider === 'openai-compatible';
      if (isOpen && baseUrl === null) throw invalid('/auth/base_url', 'an openai-compatible server needs its base URL');
      const secret = param.api_key ?? '';
      if (!isOpen || secret !== '') requireStrong(secret, '/auth/api_key');
      return { kind: 'provider_key', target: provider, auth: { provider, base_url: baseUrl, has_key: secret !== '' }, secret };
    }
    case 'http': {
      const { name, hosts, header = 'authorization', template = 'Bearer {secret}', username = null } = param;
      requireStrong(param.secret, '/auth/secret');
      return { kind: 'http', target: name, auth: { name, hosts, header, template, username }, secret: param.secret };
    }
    case 'static_bearer': {
      requireStrong(param.token, '/auth/token');
      const url = param.mcp_server_url;
      return { kind: 'static_bearer', target: serverKey(url), auth: { mcp_server_url: url }, secret: param.token };
    }
    case 'mcp_oauth': {
      requireStrong(param.access_token, '/auth/access_token');
      const [url, expiresAt] = [param.mcp_server_url, param.expires_at ?? null];
      const refresh = parseRefresh(param.refresh ?? undefined);
      // What has run out already is refreshed before its first use.
      if (refresh === undefined) requireFuture(expiresAt, now);
      return {
        kind: 'mcp_oauth',
        target: serverKey(url),
        auth: { mcp_server_url: url, expires_at: expiresAt, refresh: refresh === undefined ? null : refreshFields(refresh.settings) },
        secret: packTokens({ ...refresh?.secrets, accessToken: param.access_token }),
      };
    }
    case 'environment_variable':
      throw unsupported(
        '/auth/type',
        'secrets that programs of a sandbox name by a variable; `http` puts one into requests to named hosts',
      );
  }
}

/** What an update leaves of what there is; `secret` only when there is a new one. */
export function mergeAuth(
  row: CredentialRow,
  param: NonNullable<CredentialUpdate['auth']>,
  now: number,
  openSecret: () => string,
): { readonly auth: JsonObject; readonly secret: string | undefined } {
  if (param.type === 'environment_variable') throw unsupported('/auth/type', 'secrets that programs of a sandbox name by a variable');
  if (param.type !== row.kind) throw invalid('/auth/type', `the credential is of the type ${row.kind}, which cannot be changed`);
  if (param.type === 'mcp_oauth') return mergeOauth(row.auth, param, now, openSecret);
  const [auth, secret, pointer] = changesOf(row.auth, param);
  const given = secret ?? undefined;
  if (given !== undefined) requireStrong(given, pointer);
  return {
    auth: { ...row.auth, ...auth, ...(given !== undefined && row.kind === 'provider_key' ? { has_key: true } : {}) },
    secret: given,
  };
}

type OauthUpdate = Extract<NonNullable<CredentialUpdate['auth']>, { type: 'mcp_oauth' }>;
type KnownUpdate = Exclude<NonNullable<CredentialUpdate['auth']>, { type: 'environment_variable' }>;

function changesOf(current: JsonObject, param: Exclude<KnownUpdate, OauthUpdate>): [JsonObject, string | null | undefined, string] {
  switch (param.type) {
    case 'provider_key': {
      if (param.base_url === null && current.provider === 'openai-compatible')
        throw invalid('/auth/base_url', 'an openai-compatible server needs its base URL');
      const baseUrl = param.base_url?.replace(/\/+$/, '') ?? null;
      return [param.base_url === undefined ? {} : { base_url: baseUrl }, param.api_key, '/auth/api_key'];
    }
    case 'http': {
      const { type: _type, secret, ...rest } = param;
      const given = Object.entries(rest).filter((entry): entry is [string, string | string[]] => entry[1] !== undefined);
      return [Object.fromEntries(given), secret, '/auth/secret'];
    }
    case 'static_bearer':
      return [{}, param.token, '/auth/token'];
  }
}

type RefreshParam = NonNullable<Extract<CredentialCreate['auth'], { type: 'mcp_oauth' }>['refresh']>;

function parseRefresh(
  param: RefreshParam | undefined,
): { readonly settings: RefreshSettings; readonly secrets: Omit<OauthTokens, 'accessToken'> } | undefined {
  if (param === undefined) return undefined;
  const { client_id: clientId, token_endpoint: tokenEndpoint, token_endpoint_auth: auth, resource = null, scope = null } = param;
  requireStrong(param.refresh_token, '/auth/refresh/refresh_token');
  const clientSecret = auth.type === 'none' ? undefined : auth.client_secret;
  if (clientSecret !== undefined) requireStrong(clientSecret, '/auth/refresh/token_endpoint_auth/client_secret');
  const settings = { clientId, tokenEndpoint, auth: auth.type, resource, scope };
  return { settings, secrets: { refreshToken: param.refresh_token, clientSecret } };
}

/** New tokens end what was known of the old: the next refresh is tried at once, whoever is at one with the old. */
function mergeOauth(
  { refreshing_until: claim = null, last_refresh: last = null, ...current }: JsonObject,
  param: OauthUpdate,
  now: number,
  openSecret: () => string,
): { readonly auth: JsonObject; readonly secret: string | undefined } {
  const settings = refreshOf(current);
  const { access_token: accessToken, refresh, expires_at: expiresAt } = param;
  if (refresh && settings === undefined) throw invalid('/auth/refresh', 'the credential was made without; make another one');
  if (settings === undefined) requireFuture(expiresAt ?? null, now);
  const clientSecret = refresh?.token_endpoint_auth?.client_secret;
  if (clientSecret && settings?.auth === 'none')
    throw invalid('/auth/refresh/token_endpoint_auth', 'the token endpoint of this credential wants no secret');
  const given = { accessToken, refreshToken: refresh?.refresh_token, clientSecret };
  const pointers = {
    accessToken: 'access_token',
    refreshToken: 'refresh/refresh_token',
    clientSecret: 'refresh/token_endpoint_auth/client_secret',
  };
  const changed = (['accessToken', 'refreshToken', 'clientSecret'] as const).flatMap((name): [string, string][] => {
    const secret = given[name] ?? undefined;
    if (secret !== undefined) requireStrong(secret, `/auth/${pointers[name]}`);
    return secret === undefined ? [] : [[name, secret]];
  });
  const scope = refresh?.scope;
  const auth = {
    ...current,
    ...(settings === undefined || scope === undefined ? {} : { refresh: refreshFields({ ...settings, scope }) }),
    ...(expiresAt === undefined ? {} : { expires_at: expiresAt }),
    last_refresh: changed.length > 0 ? null : last,
    refreshing_until: given.refreshToken ? null : claim,
  };
  if (changed.length === 0) return { auth, secret: undefined };
  return { auth, secret: packTokens({ ...unpackTokens(current, openSecret()), ...Object.fromEntries(changed) }) };
}

/** Written by `parseAuth` and `mergeAuth` and by nobody else, so what is read is of these forms. */
export function toWireAuth({ kind, auth }: CredentialRow): CredentialAuth {
  switch (kind) {
    case 'provider_key':
      return { type: kind, provider: auth.provider as KeyProvider, base_url: textOrNull(auth.base_url) };
    case 'http': {
      const { name, hosts, header, template } = httpAuth(auth);
      return { type: kind, name, hosts: [...hosts], header, template, username: textOrNull(auth.username) };
    }
    case 'static_bearer':
      return { type: kind, mcp_server_url: textOf(auth.mcp_server_url) };
    case 'mcp_oauth': {
      const at = textOrNull(auth.expires_at);
      const expiresAt = at === null ? null : toTimestamp(Date.parse(at));
      const settings = refreshOf(auth);
      return {
        type: kind,
        mcp_server_url: textOf(auth.mcp_server_url),
        expires_at: expiresAt,
        refresh: settings === undefined ? null : toWireRefresh(settings),
        last_refresh: toLastRefresh(auth.last_refresh),
      };
    }
  }
}

type OauthAuth = Extract<CredentialAuth, { type: 'mcp_oauth' }>;

function toWireRefresh({ clientId, tokenEndpoint, auth, resource, scope }: RefreshSettings): NonNullable<OauthAuth['refresh']> {
  return { client_id: clientId, token_endpoint: tokenEndpoint, token_endpoint_auth: { type: auth }, resource, scope };
}

function toLastRefresh(value: JsonValue | undefined): OauthAuth['last_refresh'] {
  const { status, at, message } = asJsonObject(value);
  const known = (['succeeded', 'failed', 'connect_error'] as const).find((one) => one === status);
  return known === undefined ? null : { status: known, at: textOf(at), message: textOrNull(message) };
}

export function httpAuth(auth: JsonObject): { name: string; hosts: readonly string[]; header: string; template: string } {
  const hosts = Array.isArray(auth.hosts) ? auth.hosts.map(textOf) : [];
  return { name: textOf(auth.name), hosts, header: textOf(auth.header), template: textOf(auth.template) };
}

/** Two spellings of one server are one. */
export function serverKey(url: string): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname.replace(/\/+$/, '')}`;
}

function textOf(value: unknown): string {
  return textOrNull(value) ?? '';
}

export function textOrNull(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

function requireStrong(secret: string, pointer: string): void {
  const weakness = weaknessOf(secret, MIN_SECRET);
  if (weakness === undefined) return;
  throw new PlatformError('secret_weak', { detail: `The secret cannot be used: ${weakness}.`, fields: [{ pointer, message: weakness }] });
}

function requireFuture(at: string | null, now: number): void {
  if (at !== null && Date.parse(at) <= now) throw invalid('/auth/expires_at', 'it is in the past');
}

function invalid(pointer: string, message: string): PlatformError {
  return new PlatformError('request_invalid', { detail: `The credential is not valid: ${message}.`, fields: [{ pointer, message }] });
}
