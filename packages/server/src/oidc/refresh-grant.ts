import * as client from 'openid-client';
import { isPlatformError } from '../base/errors.ts';
import { asJsonObject, type JsonValue } from '../base/json.ts';
import type { RefreshGrant, RefreshOutcome, RefreshRequest, SendForm } from '../core/oauth.ts';

const TIMEOUT_SECONDS = 10;
const ERROR_CODE = /^[a-z_]{1,64}$/;

/** Refreshes tokens at the endpoints that tenants have named, by way of `send`. */
export function createRefreshGrant(send: SendForm): RefreshGrant {
  return async (request) => {
    try {
      const { refreshToken, scope, resource } = request;
      const more = { ...(scope === null ? {} : { scope }), ...(resource === null ? {} : { resource }) };
      const tokens = await client.refreshTokenGrant(configure(request, send), refreshToken, more);
      return {
        status: 'succeeded',
        accessToken: tokens.access_token,
        refreshToken: tokens.refresh_token,
        expiresInSeconds: tokens.expires_in,
      };
    } catch (error) {
      return failureOf(error);
    }
  };
}

function configure(request: RefreshRequest, send: SendForm): client.Configuration {
  const { tokenEndpoint, clientId, auth, clientSecret = '' } = request;
  const server = { issuer: new URL(tokenEndpoint).origin, token_endpoint: tokenEndpoint };
  const authentication = {
    none: () => client.None(),
    client_secret_basic: () => client.ClientSecretBasic(clientSecret),
    client_secret_post: () => client.ClientSecretPost(clientSecret),
  }[auth]();
  const config = new client.Configuration(server, clientId, undefined, authentication);
  config.timeout = TIMEOUT_SECONDS;
  // As with the MCP server itself, whose owner chose between http and https.
  client.allowInsecureRequests(config);
  config[client.customFetch] = async (url, { method, headers, body, signal }) => {
    const bounded = signal ?? AbortSignal.timeout(TIMEOUT_SECONDS * 1000);
    // A grant is a form; the type is that of all that a request may have.
    const form = body instanceof URLSearchParams ? body.toString() : '';
    const answer = await send(new URL(url), { method, headers: { ...headers }, body: form, signal: bounded });
    const isEmpty = [204, 205, 304].includes(answer.status);
    return new Response(isEmpty ? null : withoutIdToken(answer.body), {
      status: answer.status,
      headers: { 'content-type': answer.contentType },
    });
  };
  return config;
}

/** It says who signed in, which nobody asks here; left in, its signature and issuer would be checked. */
function withoutIdToken(body: string): string {
  try {
    const parsed: JsonValue = JSON.parse(body);
    const { id_token: _unasked, ...rest } = asJsonObject(parsed);
    return Object.keys(rest).length === 0 ? body : JSON.stringify(rest);
  } catch {
    // Whoever reads it says that it is not JSON.
    return body;
  }
}

function failureOf(error: unknown): RefreshOutcome {
  const known = chainOf(error).find((one) => isPlatformError(one));
  if (isPlatformError(known)) return { status: 'connect_error', message: known.detail, isPassing: known.code !== 'egress_denied' };
  if (error instanceof client.ResponseBodyError) {
    const code = ERROR_CODE.test(error.error) ? error.error : 'an error';
    const isPassing = error.status >= 500 || error.status === 429 || code === 'temporarily_unavailable';
    return { status: 'failed', message: `The token endpoint answered ${error.status} with ${code}.`, isPassing };
  }
  const response = chainOf(error).find((one) => one instanceof Response);
  if (response instanceof Response)
    return {
      status: 'failed',
      message: `The token endpoint answered ${response.status}, and with no token as RFC 6749 has it.`,
      isPassing: response.status >= 500 || response.status === 429,
    };
  if (error instanceof client.ClientError && error.code !== 'OAUTH_TIMEOUT' && error.code !== 'OAUTH_ABORT')
    return { status: 'failed', message: 'The token endpoint did not answer as RFC 6749 has it.', isPassing: false };
  return { status: 'connect_error', message: 'The token endpoint could not be reached.', isPassing: true };
}

function chainOf(error: unknown): readonly unknown[] {
  const chain: unknown[] = [];
  for (let one = error; one !== undefined && chain.length < 5; one = one instanceof Error ? one.cause : undefined) chain.push(one);
  return chain;
}
