import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';

/** Who the provider lets sign in next, and in which way it misbehaves. */
interface OidcPerson {
  readonly sub: string;
  readonly email?: string;
  readonly email_verified?: boolean;
  readonly name?: string;
  readonly [claim: string]: unknown;
}

export interface OidcProvider extends AsyncDisposable {
  readonly issuer: string;
  person: OidcPerson;
  /** Instead of the nonce it was given. */
  nonce: string | undefined;
  /** Signs with another key than the one it shows. */
  isForging: boolean;
}

export const OIDC_CLIENT = { id: 'cloister', secret: 'a secret of the client' } as const;

interface Grant {
  readonly challenge: string;
  readonly nonce: string;
  readonly redirectUri: string;
  readonly person: OidcPerson;
}

/** A small real OpenID provider: discovery, authorization codes with PKCE, signed id tokens. It asks nobody for a password. */
export async function startOidcProvider(): Promise<OidcProvider> {
  const keys = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const forged = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const grants = new Map<string, Grant>();
  const server = http.createServer((request, response) => void handle(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the provider listens on a port');
  const issuer = `http://127.0.0.1:${address.port}`;

  const provider: OidcProvider = {
    issuer,
    person: { sub: 'nobody' },
    nonce: undefined,
    isForging: false,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };

  async function handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', issuer);
    const json = (status: number, body: object) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    if (url.pathname === '/.well-known/openid-configuration') return void json(200, metadata(issuer));
    if (url.pathname === '/jwks')
      return void json(200, { keys: [{ ...keys.publicKey.export({ format: 'jwk' }), kid: 'one', alg: 'RS256', use: 'sig' }] });
    if (url.pathname === '/authorize') return void response.writeHead(302, { location: authorize(url.searchParams) }).end();
    if (url.pathname !== '/token') return void json(404, { error: 'not_found' });
    const chunks: Buffer[] = await request.toArray();
    const form = new URLSearchParams(Buffer.concat(chunks).toString());
    const grant = take(request.headers.authorization, form);
    if (grant === undefined) return void json(400, { error: 'invalid_grant' });
    json(200, { access_token: randomUUID(), token_type: 'Bearer', expires_in: 300, id_token: idToken(grant) });
  }

  function authorize(query: URLSearchParams): string {
    const code = randomUUID();
    const redirectUri = query.get('redirect_uri') ?? '';
    if (query.get('client_id') !== OIDC_CLIENT.id || query.get('code_challenge_method') !== 'S256') throw new Error('not our client');
    grants.set(code, {
      challenge: query.get('code_challenge') ?? '',
      nonce: query.get('nonce') ?? '',
      redirectUri,
      person: provider.person,
    });
    return `${redirectUri}?${new URLSearchParams({ code, state: query.get('state') ?? '' }).toString()}`;
  }

  /** A code is good once, for who began with its challenge and has the client's secret. */
  function take(authorization: string | undefined, form: URLSearchParams): Grant | undefined {
    const grant = grants.get(form.get('code') ?? '');
    grants.delete(form.get('code') ?? '');
    const [id, secret] = Buffer.from((authorization ?? '').replace('Basic ', ''), 'base64')
      .toString()
      .split(':');
    const given =
      authorization === undefined
        ? [form.get('client_id'), form.get('client_secret')]
        : [id, secret].map((part) => decodeURIComponent((part ?? '').replaceAll('+', ' ')));
    const isClient = given[0] === OIDC_CLIENT.id && given[1] === OIDC_CLIENT.secret;
    const challenge = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url');
    const isSame = grant?.challenge === challenge && grant.redirectUri === form.get('redirect_uri');
    return isClient && isSame ? grant : undefined;
  }

  function idToken({ nonce, person }: Grant): string {
    const now = Math.floor(Date.now() / 1000);
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = { iss: issuer, aud: OIDC_CLIENT.id, iat: now, exp: now + 300, nonce: provider.nonce ?? nonce, ...person };
    const head = `${part({ alg: 'RS256', kid: 'one', typ: 'JWT' })}.${part(claims)}`;
    const key = provider.isForging ? forged.privateKey : keys.privateKey;
    return `${head}.${sign('sha256', Buffer.from(head), key).toString('base64url')}`;
  }

  return provider;
}

function metadata(issuer: string): object {
  return {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
    code_challenge_methods_supported: ['S256'],
  };
}
