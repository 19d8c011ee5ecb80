import { asJsonObject, isJsonObject, type JsonObject, type JsonValue } from '../base/json.ts';
import { rememberSecret } from '../base/redaction/redaction.ts';
import { TOKEN_ENDPOINT_AUTHS, type TokenEndpointAuth } from '../core/oauth.ts';

/** The secrets of an `mcp_oauth` credential. Without a refresh token the access token is all there is. */
export interface OauthTokens {
  readonly accessToken: string;
  readonly refreshToken?: string | undefined;
  readonly clientSecret?: string | undefined;
}

/** What is told again of how tokens are refreshed. */
export interface RefreshSettings {
  readonly clientId: string;
  readonly tokenEndpoint: string;
  readonly auth: TokenEndpointAuth;
  readonly resource: string | null;
  readonly scope: string | null;
}

/** As one secret, that a row has room for. */
export function packTokens({ accessToken, refreshToken, clientSecret }: OauthTokens): string {
  for (const secret of [accessToken, refreshToken, clientSecret]) if (secret !== undefined) rememberSecret(secret);
  return refreshToken === undefined ? accessToken : JSON.stringify({ accessToken, refreshToken, clientSecret });
}

/** The parts of what `packTokens` made for a credential with these fields. */
export function unpackTokens(auth: JsonObject, secret: string): OauthTokens {
  if (refreshOf(auth) === undefined) return { accessToken: secret };
  const parsed: JsonValue = JSON.parse(secret);
  const { accessToken, refreshToken, clientSecret } = asJsonObject(parsed);
  const tokens = { accessToken: textOf(accessToken) ?? '', refreshToken: textOf(refreshToken), clientSecret: textOf(clientSecret) };
  for (const one of Object.values(tokens)) if (one !== undefined && one !== '') rememberSecret(one);
  return tokens;
}

/** Undefined for a credential whose token is not refreshed. */
export function refreshOf(auth: JsonObject): RefreshSettings | undefined {
  if (!isJsonObject(auth.refresh)) return undefined;
  const { client_id, token_endpoint, token_endpoint_auth, resource, scope } = auth.refresh;
  const type = asJsonObject(token_endpoint_auth).type;
  return {
    clientId: textOf(client_id) ?? '',
    tokenEndpoint: textOf(token_endpoint) ?? '',
    auth: TOKEN_ENDPOINT_AUTHS.find((one) => one === type) ?? 'none',
    resource: textOf(resource) ?? null,
    scope: textOf(scope) ?? null,
  };
}

export function refreshFields({ clientId, tokenEndpoint, auth, resource, scope }: RefreshSettings): JsonObject {
  return { client_id: clientId, token_endpoint: tokenEndpoint, token_endpoint_auth: { type: auth }, resource, scope };
}

function textOf(value: JsonValue | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
