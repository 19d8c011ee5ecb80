import * as client from 'openid-client';
import { isPlatformError, PlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { OidcSettings } from '../core/sign-in-settings.ts';
import type { Identity } from '../tenants/sign-in.ts';

/** What the browser keeps while its person is with the provider, so that only what was begun there ends here. */
export interface OidcCheck {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
}

/** Signing in with an identity provider: the authorization code flow with PKCE, state and nonce. */
export interface Oidc {
  readonly name: string;
  /** Where the browser goes. Throws `sign_in_unavailable`. */
  start(redirectUri: string): Promise<{ readonly url: string; readonly check: OidcCheck }>;
  /** Who came back, by the address they came back to. Throws `sign_in_failed` and `sign_in_unavailable`. */
  finish(cameTo: URL, check: OidcCheck): Promise<Identity>;
}

const SCOPE = 'openid email profile';
const TIMEOUT_SECONDS = 10;

/** What the provider is asked with: by the proxy, where one is set. */
export type ProviderFetch = client.CustomFetch;

export function createOidc(settings: OidcSettings, log: Logger, ask: ProviderFetch): Oidc {
  let known: Promise<client.Configuration> | undefined;

  /** Asked for once; when that fails, again at the next sign-in. */
  function provider(): Promise<client.Configuration> {
    known ??= discover(settings, ask).catch((error: unknown) => {
      known = undefined;
      throw error;
    });
    return known;
  }

  function fail(error: unknown, what: string): never {
    if (isPlatformError(error)) throw error;
    log.warn({ err: error, issuer: settings.issuer }, what);
    const isRefusal = error instanceof client.AuthorizationResponseError || error instanceof client.ClientError;
    throw new PlatformError(isRefusal ? 'sign_in_failed' : 'sign_in_unavailable', {
      detail: isRefusal ? 'The identity provider did not confirm the sign-in.' : 'The identity provider did not answer as it should.',
      cause: error,
    });
  }

  return {
    name: settings.name,
    async start(redirectUri) {
      try {
        const config = await provider();
        const [verifier, state, nonce] = [client.randomPKCECodeVerifier(), client.randomState(), client.randomNonce()];
        const url = client.buildAuthorizationUrl(config, {
          redirect_uri: redirectUri,
          scope: SCOPE,
          code_challenge: await client.calculatePKCECodeChallenge(verifier),
          code_challenge_method: 'S256',
          state,
          nonce,
        });
        return { url: url.href, check: { state, nonce, verifier } };
      } catch (error) {
        return fail(error, 'a sign-in with the identity provider could not begin');
      }
    },
    async finish(cameTo, { state, nonce, verifier }) {
      try {
        const config = await provider();
        const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true };
        const tokens = await client.authorizationCodeGrant(config, cameTo, checks);
        const claims = tokens.claims();
        if (claims === undefined) throw new Error('the answer has no id token');
        const profile = await profileOf(config, tokens.access_token, claims);
        return toIdentity(settings, claims, profile);
      } catch (error) {
        return fail(error, 'a sign-in with the identity provider could not end');
      }
    },
  };
}

function discover({ issuer, clientId, clientSecret }: OidcSettings, ask: ProviderFetch): Promise<client.Configuration> {
  const server = new URL(issuer);
  // Otherwise the signature of an id token counts for nothing, since it came over TLS.
  const always = [client.enableNonRepudiationChecks];
  // Settings allow this for the host itself only.
  const execute = server.protocol === 'http:' ? [...always, client.allowInsecureRequests] : always;
  const authentication = clientSecret === undefined ? client.None() : undefined;
  return client.discovery(server, clientId, clientSecret, authentication, { execute, timeout: TIMEOUT_SECONDS, [client.customFetch]: ask });
}

/** Many providers tell the address only when they are asked for the profile. */
async function profileOf(
  config: client.Configuration,
  token: string,
  claims: client.IDToken,
): Promise<client.UserInfoResponse | undefined> {
  if (claims.email !== undefined || config.serverMetadata().userinfo_endpoint === undefined) return undefined;
  return client.fetchUserInfo(config, token, claims.sub);
}

function toIdentity(settings: OidcSettings, claims: client.IDToken, profile: client.UserInfoResponse | undefined): Identity {
  const read = (name: string): unknown => claims[name] ?? profile?.[name];
  const email = read('email');
  const name = read('name');
  const tenant = settings.tenantClaim === undefined ? undefined : read(settings.tenantClaim);
  if (settings.tenantClaim !== undefined && typeof tenant !== 'string')
    throw new PlatformError('sign_in_refused', { detail: 'The identity provider does not say which tenant you belong to.' });
  const address = typeof email === 'string' ? email : '';
  return {
    subject: `${claims.iss} ${claims.sub}`,
    email: address,
    isEmailVerified: address !== '' && read('email_verified') === true,
    name: (typeof name === 'string' && name.trim() !== '' ? name.trim() : address || claims.sub).slice(0, 256),
    tenant: typeof tenant === 'string' ? tenant : undefined,
  };
}
