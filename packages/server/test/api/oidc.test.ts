import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type TestBrowser, testBrowser } from '../support/browser-session.ts';
import { OIDC_CLIENT, type OidcProvider, startOidcProvider } from '../support/oidc-provider.ts';
import { type Answer, startTestServer, type TestServer } from '../support/server.ts';

describe('signing in with an identity provider', () => {
  let provider: OidcProvider;
  let server: TestServer;
  before(async () => {
    provider = await startOidcProvider();
    server = await startTestServer({
      env: {
        OIDC_ISSUER: provider.issuer,
        OIDC_CLIENT_ID: OIDC_CLIENT.id,
        OIDC_CLIENT_SECRET: OIDC_CLIENT.secret,
        OIDC_ALLOWED_DOMAINS: 'acme.example',
        OIDC_ROLE: 'viewer',
        OIDC_NAME: 'Acme',
      },
    });
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    await provider?.[Symbol.asyncDispose]();
  });
  beforeEach(() => {
    provider.nonce = undefined;
    provider.isForging = false;
  });

  /** To the provider and back, up to our door; then through it. */
  async function goAndReturn(browser: TestBrowser): Promise<string> {
    const start = await browser.send('GET', '/v1/auth/oidc/start');
    assert.equal(start.status, 302, JSON.stringify(start.body));
    const away = new URL(start.headers.get('location') ?? '');
    assert.equal(away.searchParams.get('code_challenge_method'), 'S256');
    assert.ok(away.searchParams.get('state') && away.searchParams.get('nonce'));
    const back = await fetch(away, { redirect: 'manual' });
    return (back.headers.get('location') ?? '').replace(server.url, '');
  }

  async function signIn(browser = testBrowser(server)): Promise<Answer> {
    return browser.send('GET', await goAndReturn(browser));
  }

  const refusedAs = (answer: Answer, status: number, code: string) =>
    assert.deepEqual([answer.status, answer.body.error?.code], [status, code]);

  it('is offered, and lets in who is of an allowed domain', async () => {
    assert.deepEqual((await testBrowser(server).send('GET', '/v1/auth/methods')).body.oidc, { start: '/v1/auth/oidc/start', name: 'Acme' });
    provider.person = { sub: 'ada', email: 'Ada@acme.example', email_verified: true, name: 'Ada' };
    const browser = testBrowser(server);
    const done = await signIn(browser);
    assert.deepEqual([done.status, done.headers.get('location')], [302, '/dashboard/#/signed-in']);
    assert.deepEqual([...browser.cookies.keys()], ['cloister_sign_in'], 'what was for the way is gone');
    const { body } = await browser.send('GET', '/v1/me');
    assert.deepEqual(
      [body.kind, body.email, body.name, body.role, body.tenant.id],
      ['user', 'ada@acme.example', 'Ada', 'viewer', 'default'],
    );
  });

  it('knows people by what stays, not by their address', async () => {
    provider.person = { sub: 'bob', email: 'bob@acme.example', email_verified: true };
    const first = testBrowser(server);
    await signIn(first);
    provider.person = { sub: 'bob', email: 'robert@elsewhere.example', email_verified: false };
    const again = testBrowser(server);
    assert.equal((await signIn(again)).status, 302);
    assert.equal((await again.send('GET', '/v1/me')).body.id, (await first.send('GET', '/v1/me')).body.id);
    provider.person = { sub: 'not bob', email: 'bob@acme.example', email_verified: true };
    refusedAs(await signIn(), 403, 'sign_in_refused');
  });

  it('takes an invitation for who is of no such domain, and refuses strangers', async () => {
    provider.person = { sub: 'eve', email: 'eve@elsewhere.example', email_verified: true };
    refusedAs(await signIn(), 403, 'sign_in_refused');
    await server.json('POST', '/v1/invitations', { body: { email: 'eve@elsewhere.example', role: 'member' } });
    const browser = testBrowser(server);
    assert.equal((await signIn(browser)).status, 302);
    assert.equal((await browser.send('GET', '/v1/me')).body.role, 'member');
    provider.person = { sub: 'fay', email: 'fay@acme.example', email_verified: false };
    refusedAs(await signIn(), 403, 'sign_in_refused');
  });

  it('refuses what was not begun here, was begun elsewhere, or is not what the provider signed', async () => {
    provider.person = { sub: 'ada', email: 'ada@acme.example', email_verified: true };
    const browser = testBrowser(server);
    const back = await goAndReturn(browser);
    refusedAs(await testBrowser(server).send('GET', back), 401, 'sign_in_failed');
    const other = testBrowser(server);
    await goAndReturn(other);
    refusedAs(await other.send('GET', back), 401, 'sign_in_failed');
    assert.equal((await browser.send('GET', back)).status, 302);
    refusedAs(await browser.send('GET', back), 401, 'sign_in_failed');
    provider.nonce = 'another';
    refusedAs(await signIn(), 401, 'sign_in_failed');
    provider.nonce = undefined;
    provider.isForging = true;
    const forged = await signIn();
    assert.ok(forged.status === 401 || forged.status === 502, String(forged.status));
  });
});
