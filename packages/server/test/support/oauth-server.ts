import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** How it answers the next requests. */
type OauthTemper = 'gives' | 'refuses' | 'redirects' | 'talks' | 'fails';

export interface OauthServer extends AsyncDisposable {
  readonly url: string;
  temper: OauthTemper;
  /** Of the tokens it gives. */
  expiresIn: number | undefined;
  /** Answers only when it is resolved. */
  gate: Promise<void>;
  /** The refresh token that is good; each is used once. */
  readonly refreshToken: () => string;
  /** The access token that is good. */
  readonly accessToken: () => string;
  revoke(): void;
  readonly requests: readonly { readonly authorization: string | undefined; readonly form: Readonly<Record<string, string>> }[];
}

/** A small real token endpoint (RFC 6749 §6) that takes each refresh token once. */
export async function startOauthServer(): Promise<OauthServer> {
  const requests: { authorization: string | undefined; form: Record<string, string> }[] = [];
  let count = 0;
  let access = 'the-first-access-token';
  const refresh = () => `refresh-token-number-${count}`;
  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy());
  });
  async function handle(request: IncomingMessage, response: ServerResponse): Promise<unknown> {
    const json = (status: number, body: object) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    let text = '';
    for await (const chunk of request) text += String(chunk);
    const form = Object.fromEntries(new URLSearchParams(text));
    requests.push({ authorization: request.headers.authorization, form });
    await oauth.gate;
    if (oauth.temper === 'redirects') return response.writeHead(307, { location: 'http://169.254.169.254/token' }).end();
    if (oauth.temper === 'talks') return response.writeHead(200, { 'content-type': 'text/html' }).end('<p>Hello</p>');
    if (oauth.temper === 'fails') return json(503, { error: 'temporarily_unavailable' });
    if (oauth.temper === 'refuses' || form.refresh_token !== refresh()) return json(400, { error: 'invalid_grant' });
    count += 1;
    access = `access-token-number-${count}`;
    const expires = oauth.expiresIn === undefined ? {} : { expires_in: oauth.expiresIn };
    return json(200, { access_token: access, token_type: 'Bearer', refresh_token: refresh(), id_token: 'not.for.us', ...expires });
  }
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const oauth: OauthServer = {
    // As: a server that listens on TCP has an address of this form.
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/token?of=tests`,
    temper: 'gives',
    expiresIn: 3600,
    gate: Promise.resolve(),
    refreshToken: refresh,
    accessToken: () => access,
    revoke: () => {
      access = 'none-is-good';
    },
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
  return oauth;
}
