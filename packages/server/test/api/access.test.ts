import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { SECRET_KINDS } from '../../src/base/ids.ts';
import { testBrowser } from '../support/browser-session.ts';
import { OTHER_KEY, startTestServer, type TestServer, type Wire } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const PASSWORD = 'correct horse battery';
/** What docs/tenants-and-keys.md gives to scanners. */
const SCANNED = /\bclo_[a-z]_[0-9A-Za-z]{49}\b/;

async function createKey(server: TestServer, body: object, key = server.key): Promise<Wire> {
  const made = await server.json('POST', '/v1/api_keys', { key, body: { name: 'k', ...body } });
  assert.equal(made.status, 200, JSON.stringify(made.body));
  return made.body;
}

const codeOf = (answer: { body: Wire }) => answer.body.error?.code;

describe('API keys', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server?.[Symbol.asyncDispose]());

  it('are shown once, in a form that scanners find, and told by their hint', async () => {
    const made = await createKey(server, { name: 'ci', role: 'viewer' });
    assert.match(made.key, SCANNED);
    assert.ok(made.key.startsWith(`clo_${SECRET_KINDS.apiKey}_`));
    const { key, ...shown } = made;
    const { body } = await server.json('GET', `/v1/api_keys/${made.id}`);
    assert.deepEqual({ ...body, last_used_at: null }, shown);
    assert.ok(key.startsWith(body.hint.split('…')[0]) && key.endsWith(body.hint.split('…')[1]));
    assert.doesNotMatch(JSON.stringify((await server.json('GET', '/v1/api_keys?limit=100')).body), SCANNED);
    const told = (await server.json('GET', '/v1/audit?actions[]=key.created')).body.data;
    assert.ok(told.some(({ subject, actor }: Wire) => subject === made.id && actor.startsWith('key:')));
    const me = await server.json('GET', '/v1/me', { key });
    assert.deepEqual([me.body.role, me.body.name, me.body.tenant.id, me.body.is_operator], ['viewer', 'ci', 'default', false]);
    await waitFor(async () => (await server.json('GET', `/v1/api_keys/${made.id}`)).body.last_used_at, {
      timeoutMs: 5000,
      what: 'the use of the key to be noted',
    });
  });

  it('are not kept for a repeat of the request that made them', async () => {
    const init = { headers: { 'idempotency-key': 'once' }, body: { name: 'once' } };
    const [first, again] = [await server.json('POST', '/v1/api_keys', init), await server.json('POST', '/v1/api_keys', init)];
    assert.deepEqual([again.body.id, again.body.key], [first.body.id, null]);
    assert.match(first.body.key, SCANNED);
  });

  it('that are mistyped are refused like unknown ones', async () => {
    const { key } = await createKey(server, {});
    const mistyped = `${key.slice(0, -1)}${key.endsWith('a') ? 'b' : 'a'}`;
    const [wrong, unknown] = [
      await server.json('GET', '/v1/me', { key: mistyped }),
      await server.json('GET', '/v1/me', { key: 'clst_unknown-key-of-nobody' }),
    ];
    assert.deepEqual([wrong.status, codeOf(wrong)], [401, 'credentials_invalid']);
    assert.deepEqual({ ...wrong.body, request_id: '' }, { ...unknown.body, request_id: '' });
  });

  it('count no more from the moment they are revoked, and what they have open is cut', { timeout: 20_000 }, async () => {
    const { id, key } = await createKey(server, {});
    const session = await server.createSession();
    const stream = await server.request('GET', `/v1/sessions/${session}/events/stream`, { key });
    assert.equal(stream.status, 200);
    const reader = stream.body?.getReader();
    await reader?.read();
    assert.equal((await server.json('POST', `/v1/api_keys/${id}/revoke`)).body.status, 'revoked');
    const refused = await server.json('GET', '/v1/me', { key });
    assert.deepEqual([refused.status, codeOf(refused)], [401, 'credentials_invalid']);
    const cut = async () => {
      while ((await reader?.read())?.done === false);
    };
    await cut().catch(() => undefined);
  });

  it('are over at their time', async () => {
    const { key } = await createKey(server, { expires_at: new Date(Date.now() + 1500).toISOString() });
    assert.equal((await server.json('GET', '/v1/me', { key })).status, 200);
    await waitFor(async () => (await server.json('GET', '/v1/me', { key })).status === 401, {
      timeoutMs: 10_000,
      what: 'the key to expire',
    });
    const past = await server.json('POST', '/v1/api_keys', { body: { name: 'k', expires_at: '2020-01-01T00:00:00.000Z' } });
    assert.deepEqual([past.status, past.body.error.errors[0].pointer], [400, '/expires_at']);
  });

  it('never give more than who makes them has', async () => {
    const { key: admin } = await createKey(server, { role: 'admin' });
    const owner = await createKey(server, { role: 'owner' });
    for (const [route, body] of [
      ['/v1/api_keys', { name: 'up', role: 'owner' }],
      [`/v1/api_keys/${owner.id}`, { name: 'mine' }],
      [`/v1/api_keys/${owner.id}/revoke`, undefined],
      ['/v1/invitations', { email: 'x@example.org', role: 'owner' }],
    ] as const) {
      const refused = await server.json('POST', route, { key: admin, ...(body === undefined ? {} : { body }) });
      assert.deepEqual([refused.status, codeOf(refused)], [403, 'permission_denied'], route);
    }
    const { key: part } = await createKey(server, { role: 'owner', scope: { type: 'routes', groups: ['api_keys'] } });
    assert.equal(codeOf(await server.json('POST', '/v1/api_keys', { key: part, body: { name: 'all' } })), 'permission_denied');
    assert.equal(codeOf(await server.json('GET', '/v1/tenants', { key: owner.key })), 'permission_denied', 'an owner is no operator');
  });

  it('of one agent reach that agent and its sessions, and nothing else', async () => {
    const agent = (await server.json('POST', '/v1/agents', { body: { name: 'mine', model: 'demo' } })).body.id;
    const { key } = await createKey(server, { role: 'member', scope: { type: 'agent', agent_id: agent } });
    const theirs = await server.createSession();
    const environment = (await server.json('GET', '/v1/environments', { key })).body.data[0].id;
    const made = await server.json('POST', '/v1/sessions', { key, body: { agent, environment_id: environment } });
    assert.equal(made.status, 200, JSON.stringify(made.body));
    assert.deepEqual(
      (await server.json('GET', '/v1/sessions', { key })).body.data.map(({ id }: Wire) => id),
      [made.body.id],
    );
    assert.equal((await server.json('GET', `/v1/sessions/${made.body.id}/events`, { key })).status, 200);
    for (const route of [`/v1/sessions/${theirs}`, `/v1/sessions/${theirs}/events`, '/v1/sessions/ses_0/files'])
      assert.equal(codeOf(await server.json('GET', route, { key })), 'session_not_found', route);
    const defaultAgent = (await server.json('GET', '/v1/agents?order=asc')).body.data[0].id;
    assert.equal(codeOf(await server.json('GET', `/v1/agents/${defaultAgent}`, { key })), 'agent_not_found');
    const other = await server.json('POST', '/v1/sessions', { key, body: { agent: defaultAgent, environment_id: environment } });
    assert.equal(codeOf(other), 'agent_not_found');
    for (const route of ['/v1/agents', '/v1/webhooks', '/v1/turns'])
      assert.equal((await server.json('GET', route, { key })).status, 403, route);
    const missing = await server.json('POST', '/v1/api_keys', { body: { name: 'k', scope: { type: 'agent', agent_id: 'agt_0' } } });
    assert.equal(codeOf(missing), 'agent_not_found');
  });

  it('of some routes reach those', async () => {
    const { key } = await createKey(server, { role: 'viewer', scope: { type: 'routes', groups: ['agents'] } });
    assert.equal((await server.json('GET', '/v1/agents', { key })).status, 200);
    assert.equal((await server.json('GET', '/v1/sessions', { key })).status, 403);
    assert.equal((await server.json('POST', '/v1/agents', { key, body: { name: 'x', model: 'demo' } })).status, 403);
    const slip = await server.json('POST', '/v1/api_keys', { body: { name: 'k', scope: { type: 'routes', groups: ['agnets'] } } });
    assert.deepEqual([slip.status, slip.body.error.errors[0].pointer], [400, '/scope/groups/0']);
  });
});

describe('people', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server?.[Symbol.asyncDispose]());

  async function invited(email: string, role = 'member') {
    const { body } = await server.json('POST', '/v1/invitations', { body: { email, role } });
    return String(body.link).split('/').at(-1) ?? '';
  }

  async function join(email: string, role?: string) {
    const browser = testBrowser(server);
    const token = await invited(email, role);
    const joined = await browser.send('POST', '/v1/auth/accept_invitation', { token, name: 'Ada', password: PASSWORD });
    assert.equal(joined.status, 200, JSON.stringify(joined.body));
    return { browser, token, me: joined.body };
  }

  it('come in by an invitation, once, and go out', async () => {
    const { browser, token, me } = await join('Ada@Example.org');
    assert.deepEqual([me.kind, me.email, me.role, me.tenant.id], ['user', 'ada@example.org', 'member', 'default']);
    const [line = ''] = browser.setCookies();
    assert.match(line, /^cloister_sign_in=clo_s_\w+; .*HttpOnly.*SameSite=Strict/);
    assert.doesNotMatch(line, /Secure/, 'the test speaks no TLS');
    assert.equal((await browser.send('GET', '/v1/me')).body.email, 'ada@example.org');
    assert.equal((await browser.send('GET', '/v1/sessions')).status, 200);
    assert.equal((await browser.send('GET', '/v1/users')).status, 403);
    const again = await testBrowser(server).send('POST', '/v1/auth/accept_invitation', { token, name: 'Eve', password: PASSWORD });
    assert.deepEqual([again.status, codeOf(again)], [404, 'invitation_invalid']);
    const cookie = browser.cookies.get('cloister_sign_in') ?? '';
    assert.equal((await browser.send('POST', '/v1/auth/sign_out')).body.ended, 1);
    assert.equal(browser.cookies.size, 0);
    browser.cookies.set('cloister_sign_in', cookie);
    assert.equal((await browser.send('GET', '/v1/me')).status, 401, 'also for who kept the cookie');
  });

  it('sign in with their password, and everything wrong is answered alike', async () => {
    await join('bob@example.org');
    const browser = testBrowser(server);
    const body = { email: 'Bob@example.org', password: PASSWORD };
    assert.equal((await browser.send('POST', '/v1/auth/sign_in', body)).status, 200);
    const wrong = await browser.send('POST', '/v1/auth/sign_in', { ...body, password: 'wrong' });
    const unknown = await browser.send('POST', '/v1/auth/sign_in', { ...body, email: 'nobody@example.org' });
    assert.deepEqual([wrong.status, codeOf(wrong)], [401, 'sign_in_failed']);
    assert.deepEqual({ ...wrong.body, request_id: '' }, { ...unknown.body, request_id: '' });
  });

  it('change their password, which ends their other sign-ins', async () => {
    const { browser } = await join('cyd@example.org');
    const other = testBrowser(server);
    await other.send('POST', '/v1/auth/sign_in', { email: 'cyd@example.org', password: PASSWORD });
    const change = { current: PASSWORD, new: 'another long password' };
    assert.equal((await other.send('POST', '/v1/auth/password', { ...change, current: 'wrong' })).status, 401);
    assert.equal((await other.send('POST', '/v1/auth/password', change)).status, 200);
    assert.deepEqual([(await other.send('GET', '/v1/me')).status, (await browser.send('GET', '/v1/me')).status], [200, 401]);
    assert.equal((await other.send('POST', '/v1/auth/sign_out_everywhere')).body.ended, 1);
  });

  it('are shut out at once when they are disabled, and have their new role at once', async () => {
    const { browser, me } = await join('dan@example.org', 'viewer');
    assert.equal((await browser.send('POST', '/v1/agents', { name: 'x', model: 'demo' })).status, 403);
    await server.json('POST', `/v1/users/${me.id}`, { body: { role: 'member' } });
    assert.equal((await browser.send('POST', '/v1/agents', { name: 'x', model: 'demo' })).status, 200);
    await server.json('POST', `/v1/users/${me.id}`, { body: { status: 'disabled' } });
    assert.equal((await browser.send('GET', '/v1/me')).status, 401);
    const refused = await browser.send('POST', '/v1/auth/sign_in', { email: 'dan@example.org', password: PASSWORD });
    assert.equal(codeOf(refused), 'sign_in_failed');
  });

  it('are not made to do anything by other pages', async () => {
    const { browser } = await join('eve@example.org');
    const make = (headers: Record<string, string>) => browser.send('POST', '/v1/agents', { name: 'x', model: 'demo' }, headers);
    for (const headers of [
      {},
      { 'x-cloister-csrf': '1', origin: 'https://evil.example' },
      { 'x-cloister-csrf': '1', origin: 'null' },
      { 'x-cloister-csrf': '1', 'sec-fetch-site': 'cross-site' },
      { 'x-cloister-csrf': '1', 'sec-fetch-site': 'same-site' },
    ]) {
      const refused = await make(headers);
      assert.deepEqual([refused.status, codeOf(refused)], [403, 'csrf_refused'], JSON.stringify(headers));
    }
    assert.equal((await make({ 'x-cloister-csrf': '1', origin: server.url, 'sec-fetch-site': 'same-origin' })).status, 200);
    const forced = await testBrowser(server).send(
      'POST',
      '/v1/auth/sign_in',
      { email: 'eve@example.org', password: PASSWORD },
      { origin: 'https://evil.example' },
    );
    assert.equal(codeOf(forced), 'csrf_refused');
  });

  it('cannot be guessed at without end', async () => {
    const tries = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        testBrowser(server).send('POST', '/v1/auth/sign_in', { email: 'fay@example.org', password: `guess ${index}` }),
      ),
    );
    const refused = tries.filter(({ status }) => status === 429);
    assert.ok(refused.length >= 5, `${refused.length} of 20`);
    assert.ok(Number(refused[0]?.headers.get('retry-after')) > 0);
  });
});

describe('tenants', () => {
  it('are made, suspended, resumed and removed by the operator alone', { timeout: 60_000 }, async () => {
    await using server = await startTestServer();
    const created = await server.json('POST', '/v1/tenants', { body: { id: 'acme', name: 'Acme', owner_email: 'boss@acme.example' } });
    assert.equal(created.status, 200, JSON.stringify(created.body));
    const { key, link } = created.body;
    assert.match(link, /#\/invitations\/clo_i_/);
    assert.equal(codeOf(await server.json('POST', '/v1/tenants', { body: { id: 'acme', name: 'Again' } })), 'tenant_exists');
    assert.equal((await server.json('GET', '/v1/tenants', { key })).status, 403);
    assert.equal((await server.json('GET', '/v1/tenants', { key: OTHER_KEY })).status, 403);
    const agent = (await server.json('POST', '/v1/agents', { key, body: { name: 'a', model: 'demo' } })).body.id;
    const environment = (await server.json('POST', '/v1/environments', { key, body: { name: 'e' } })).body.id;
    const session = (await server.json('POST', '/v1/sessions', { key, body: { agent, environment_id: environment } })).body.id;
    const event = { type: 'user.message', content: [{ type: 'text', text: 'hello' }] };
    const sent = await server.json('POST', `/v1/sessions/${session}/events?wait=10`, { key, body: { events: [event] } });
    assert.equal(sent.body.turn.outcome, 'completed');

    assert.equal((await server.json('POST', '/v1/tenants/acme/suspend')).body.status, 'suspended');
    const out = await server.json('GET', '/v1/me', { key });
    assert.deepEqual([out.status, codeOf(out)], [403, 'tenant_suspended']);
    assert.equal((await server.json('POST', '/v1/tenants/acme/resume')).body.status, 'active');
    assert.equal((await server.json('GET', '/v1/me', { key })).body.tenant.name, 'Acme');

    assert.equal(codeOf(await server.json('DELETE', '/v1/tenants/default')), 'tenant_protected');
    assert.equal((await server.json('DELETE', '/v1/tenants/acme')).body.status, 'deleting');
    assert.equal((await server.json('GET', '/v1/me', { key })).status, 401);
    await waitFor(async () => (await server.json('GET', '/v1/tenants/acme')).status === 404, {
      timeoutMs: 40_000,
      what: 'the tenant to be gone',
    });
    assert.equal((await server.json('GET', `/v1/sessions/${session}`)).status, 404);
    assert.ok((await server.json('GET', '/v1/agents')).body.data.length > 0, 'the others have what they had');
  });
});

describe('what a browser is told', () => {
  it('is strict, on pages and on answers', async () => {
    await using server = await startTestServer({ env: { TRUSTED_PROXIES: '127.0.0.1' } });
    for (const [route, status] of [
      ['/v1/agents', 401],
      ['/health', 200],
      ['/nothing', 401],
    ] as const) {
      const { headers, status: answered } = await server.request('GET', route, { key: null });
      assert.equal(answered, status);
      assert.match(headers.get('content-security-policy') ?? '', /default-src 'none'.*frame-ancestors 'none'/);
      assert.deepEqual(
        ['x-content-type-options', 'x-frame-options', 'referrer-policy', 'cross-origin-opener-policy'].map((name) => headers.get(name)),
        ['nosniff', 'DENY', 'no-referrer', 'same-origin'],
      );
      assert.equal(headers.get('strict-transport-security'), null);
    }
    const page = await server.request('GET', '/dashboard/', { key: null });
    const policy = page.headers.get('content-security-policy') ?? '';
    assert.match(policy, /script-src 'self';/);
    assert.doesNotMatch(policy, /unsafe|sandbox/);
    const overTls = await server.request('GET', '/health', { key: null, headers: { 'x-forwarded-proto': 'https' } });
    assert.match(overTls.headers.get('strict-transport-security') ?? '', /^max-age=\d+$/);
  });
});
