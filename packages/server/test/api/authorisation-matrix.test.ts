import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { groupOf, needOf } from '../../src/http/access.ts';
import { bodyOf, fill, furnish, type Household, type Operation, operationsOf, placesOf, queryOf } from '../support/access-matrix.ts';
import { testBrowser } from '../support/browser-session.ts';
import { message, startTestServer, type TestServer, type Wire } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

/** With which credential of the tenant a cell is asked; the last ones count no more. */
const LIVE = ['owner', 'admin', 'member', 'viewer', 'ofAgent', 'ofOtherAgent', 'ofGroup', 'ofOtherGroup'] as const;
const DEAD = { none: 401, garbage: 401, revoked: 401, expired: 401, suspended: 403 } as const;
const ROLE_OF: Readonly<Record<string, string>> = { admin: 'admin', member: 'member', viewer: 'viewer' };
const AT_ONCE = 12;
const MIN_CELLS = 3000;

interface Outcome {
  readonly status: number;
  readonly code: string | undefined;
  /** All it tells but for ids, requests and times. */
  readonly told: { readonly head: string; readonly body: string };
}

describe('every operation by every role, on own, foreign and missing things', { timeout: 300_000 }, () => {
  let server: TestServer;
  let document: Wire;
  let operations: readonly Operation[];
  let own: Household;
  let foreign: Household;
  let cells = 0;
  const faults: string[] = [];

  before(async () => {
    const clawHq = {
      CLAWHQ_CLAUDE_API_KEY: 'sk-ant-nobody',
      CLAWHQ_IMAGE: 'any',
      SERVICE_PORTS: '19310-19399',
      SERVICE_START_SECONDS: '3600',
    };
    server = await startTestServer({ env: { TRUSTED_PROXIES: '127.0.0.1', ...clawHq } });
    document = (await server.json('GET', '/openapi.json')).body;
    operations = operationsOf(document);
    [own, foreign] = [await household('acme'), await household('zeta')];
    for (const one of [own, foreign]) {
      await furnish(server, document, operations, one);
      await askSomebody(one);
      // What a message makes is there to be found now.
      const session = one.ids.get('/v1/sessions') ?? '';
      const sent = { key: one.keys.owner ?? '', body: { events: [message()] } };
      assert.equal((await server.json('POST', `/v1/sessions/${session}/events?wait=20`, sent)).status, 200);
      await furnish(server, document, operations, one);
    }
    await waitFor(async () => (await server.json('GET', '/v1/me', { key: own.keys.expired ?? '' })).status === 401, {
      timeoutMs: 10_000,
      what: 'the key to expire',
    });
  });
  after(() => server?.[Symbol.asyncDispose]());

  /** Leaves a question open that an agent has asked. */
  async function askSomebody({ keys, named }: Household): Promise<void> {
    const post = (route: string, body: object) => server.json('POST', route, { key: keys.owner ?? '', body });
    const rules = [{ tool: 'bash', policy: 'ask' }];
    const agent = (await post('/v1/agents', { name: 'careful', model: 'demo', permission_rules: rules })).body.id;
    const session = (await post('/v1/sessions', { agent, environment_id: named.environment_id })).body.id;
    const events = [message('[[tool bash {"command":"ls"}]]')];
    const { body } = await post(`/v1/sessions/${session}/events?wait=20`, { events });
    assert.equal(body.turn?.state, 'waiting_approval', JSON.stringify(body));
  }

  async function household(id: string): Promise<Household> {
    const { key: owner } = (await server.json('POST', '/v1/tenants', { body: { id, name: id } })).body;
    const post = async (route: string, body: object) => (await server.json('POST', route, { key: owner, body })).body;
    const agent = (await post('/v1/agents', { name: 'one', model: 'demo' })).id;
    const otherAgent = (await post('/v1/agents', { name: 'two', model: 'demo' })).id;
    const environment = (await post('/v1/environments', { name: 'here' })).id;
    const key = async (more: object) => post('/v1/api_keys', { name: 'k', role: 'owner', ...more });
    const revoked = await key({});
    await post(`/v1/api_keys/${revoked.id}/revoke`, {});
    const dormant = (await server.json('POST', '/v1/tenants', { body: { id: `${id}-dormant`, name: 'Dormant' } })).body;
    await server.json('POST', `/v1/tenants/${id}-dormant/suspend`);
    const invitation = await post('/v1/invitations', { email: `ada@${id}.example`, role: 'member' });
    const person = await testBrowser(server).send('POST', '/v1/auth/accept_invitation', {
      token: invitation.link.split('/').at(-1),
      name: 'Ada',
      password: 'correct horse battery',
    });
    const groups = (...names: string[]) => ({ scope: { type: 'routes', groups: names } });
    const keys: Record<string, string> = {
      owner,
      garbage: 'clo_k_none',
      revoked: revoked.key,
      suspended: dormant.key,
      ofAgent: (await key({ scope: { type: 'agent', agent_id: agent } })).key,
      ofOtherAgent: (await key({ scope: { type: 'agent', agent_id: otherAgent } })).key,
      ofGroup: (await key(groups('sessions', 'environments'))).key,
      ofOtherGroup: (await key(groups('webhooks'))).key,
      expired: (await key({ expires_at: new Date(Date.now() + 2000).toISOString() })).key,
    };
    for (const role of Object.keys(ROLE_OF)) keys[role] = (await key({ role })).key;
    const named = {
      agent,
      agent_id: agent,
      environment_id: environment,
      email: `${id}@people.example`,
      path: 'notes.txt',
      to: 'other.txt',
      model: 'demo',
      image: 'none',
      url: 'https://example.org/',
      name: `thing-of-${id}`,
      content: 'kept',
      limit_usd: 5,
    };
    // What cannot be made by asking for it below its own route.
    const ids = new Map([
      ['/v1/tenants', id],
      ['/v1/users', String(person.body.id)],
    ]);
    return { tenant: id, keys, ids, named };
  }

  let address = 0;
  async function ask(one: Operation, path: string, actor: string): Promise<Outcome> {
    cells++;
    const key = actor === 'none' ? null : (own.keys[actor] ?? null);
    // Wrong keys are counted by address, and this is no test of that.
    const headers: Record<string, string> = { 'x-forwarded-for': `10.${(address >> 16) & 255}.${(address >> 8) & 255}.${address++ & 255}` };
    const body = bodyOf(document, one, own.named);
    const init = { key, ...body, headers: { ...headers, ...body.headers }, signal: AbortSignal.timeout(20_000) };
    const response = await server.request(one.method, path + queryOf(document, one, own.named), init);
    const isStream = response.ok && !(response.headers.get('content-type') ?? '').includes('json');
    const text = isStream ? '' : await response.text();
    if (isStream) await response.body?.cancel();
    if (isFault(response.status, codeIn(text))) faults.push(`${actor} ${one.method} ${path}: ${response.status} ${text}`);
    return { status: response.status, code: codeIn(text), told: toldBy(response, text) };
  }

  /** Some clients expect what cannot be had here as a 501 or 503, and are told so by a code. */
  function isFault(status: number, code: string | undefined): boolean {
    return status >= 500 && status !== 501 && !(status === 503 && code === 'provider_not_configured');
  }

  function codeIn(text: string): string | undefined {
    try {
      const body: Wire = JSON.parse(text);
      return body?.error?.code ?? body?.code;
    } catch {
      return undefined;
    }
  }

  function toldBy(response: Response, text: string): Outcome['told'] {
    const headers = [...response.headers].filter(
      ([name]) => !['date', 'content-length', 'ratelimit', 'openai-processing-ms'].includes(name),
    );
    const known = (told: string) => told.replaceAll(/req_[0-9a-f]{32}/g, 'REQUEST');
    return { head: known(JSON.stringify([response.status, headers])), body: known(text) };
  }

  /** The path with each id made one that there is not, in the form of the id it stands for. */
  function missingOf(one: Operation, from: Household, keep = 0): { path: string; ids: string[] } {
    let path = '';
    let at = 0;
    const ids: string[] = [];
    for (const [index, { start, end }] of placesOf(one.route).entries()) {
      const known = (index < keep ? own : from).ids.get(one.route.slice(0, start - 1)) ?? 'x_00000000';
      const id = index < keep ? known : known.replace(/.{6}$/, '000000');
      if (index >= keep) ids.push(id);
      path += one.route.slice(at, start) + encodeURIComponent(id);
      at = end;
    }
    return { path: path + one.route.slice(at), ids };
  }

  const hide = ({ told }: Outcome, ids: readonly string[]) => told.head + ids.reduce((text, id) => text.replaceAll(id, 'ID'), told.body);

  async function inTurns<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
    const rest = items.values();
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        for (const item of rest) await work(item);
      }),
    );
  }

  const isPublic = ({ operation }: Operation) => operation.security?.length === 0;
  const closed = () => operations.filter((one) => !isPublic(one));
  const withIds = () => closed().filter(({ params }) => params.length > 0);

  it('has things to try it on', () => {
    for (const { ids } of [own, foreign])
      for (const route of ['agents', 'environments', 'sessions', 'webhooks', 'api_keys', 'users', 'invitations'])
        assert.ok(ids.has(`/v1/${route}`), route);
    for (const { ids } of [own, foreign])
      for (const collection of ['/v1/approvals', '/v1/vaults/{id}/credentials', '/api/agents', '/v1/sessions/{id}/snapshots'])
        assert.ok(ids.has(collection), collection);
    assert.ok(operations.length > 70, String(operations.length));
  });

  it('answers what is another tenant’s as what there is not, to everybody', async () => {
    const problems: string[] = [];
    await inTurns(withIds(), async (one) => {
      const path = fill(one.route, foreign);
      if (path === undefined) return;
      const foreignIds = placesOf(one.route).map(({ start }) => foreign.ids.get(one.route.slice(0, start - 1)) ?? '');
      const missing = missingOf(one, foreign);
      for (const actor of LIVE) {
        const [theirs, none] = [await ask(one, path, actor), await ask(one, missing.path, actor)];
        if (hide(theirs, foreignIds) !== hide(none, missing.ids))
          problems.push(`${actor} ${one.name}:\n  ${theirs.told.body}\n  ${none.told.body}`);
        if (theirs.status < 400) problems.push(`${actor} ${one.name}: ${theirs.status}`);
      }
    });
    assert.deepEqual(problems, []);
  });

  it('answers a foreign thing below an own one as one that there is not', async () => {
    const problems: string[] = [];
    await inTurns(
      withIds().filter(({ params }) => params.length > 1),
      async (one) => {
        const [first] = placesOf(one.route);
        const parent = first && own.ids.get(one.route.slice(0, first.start - 1));
        const theirs = fill(one.route, foreign);
        if (first === undefined || parent === undefined || theirs === undefined) return;
        const foreignParent = foreign.ids.get(one.route.slice(0, first.start - 1)) ?? '';
        const path = theirs.replace(encodeURIComponent(foreignParent), encodeURIComponent(parent));
        const ids = placesOf(one.route).map(({ start }) => foreign.ids.get(one.route.slice(0, start - 1)) ?? '');
        const missing = missingOf(one, foreign, 1);
        for (const actor of LIVE) {
          const [nested, none] = [await ask(one, path, actor), await ask(one, missing.path, actor)];
          if (hide(nested, ids) !== hide(none, missing.ids))
            problems.push(`${actor} ${one.name}:\n  ${nested.told.body}\n  ${none.told.body}`);
          if (nested.status < 400) problems.push(`${actor} ${one.name}: ${nested.status}`);
        }
      },
    );
    assert.deepEqual(problems, []);
  });

  it('lets nobody in whose key counts no more', async () => {
    const problems: string[] = [];
    await inTurns(closed(), async (one) => {
      const path = fill(one.route, own) ?? missingOf(one, own).path;
      for (const [actor, expected] of Object.entries(DEAD)) {
        const { status, code } = await ask(one, path, actor);
        if (status !== expected) problems.push(`${actor} ${one.name}: ${status} ${code}`);
      }
    });
    assert.deepEqual(problems, []);
  });

  it('lets each role do what it may, and nothing else', async (t) => {
    const problems: string[] = [];
    const unread: string[] = [];
    // Reading first, removing last: what one cell removes, the next one misses.
    const order = ['GET', 'PUT', 'PATCH', 'POST', 'DELETE'];
    for (const method of order)
      await inTurns(
        closed().filter((one) => one.method === method),
        async (one) => {
          const path = fill(one.route, own) ?? missingOf(one, own).path;
          for (const actor of LIVE) {
            const { status, code } = await ask(one, path, actor);
            const isDenied = status === 403 && code === 'permission_denied';
            if (actor === 'owner' && method === 'GET' && status >= 300) unread.push(`${one.name}: ${status} ${code}`);
            const expected = isExpected(one, actor, path);
            if (expected !== 'either' && isDenied !== (expected === 'denied')) problems.push(`${actor} ${one.name}: ${status} ${code}`);
            if (status === 401 && code !== 'sign_in_failed') problems.push(`${actor} ${one.name}: ${status} ${code}`);
          }
        },
      );
    assert.deepEqual(problems, []);
    t.diagnostic(`what an owner could not read: ${unread.join(', ')}`);
    const reads = closed().filter((one) => one.method === 'GET').length;
    assert.ok(unread.length < reads / 3, `${unread.length} of ${reads}: too little is there to be read`);
  });

  /** By the rule that the product has; which rule that is for what, the next test says in words of its own. */
  function isExpected(one: Operation, actor: string, path: string): 'denied' | 'allowed' | 'either' {
    const need = needOf(one.method, path);
    // These need a browser that has signed in; keys are denied by the handler.
    if (one.route.startsWith('/v1/auth/')) return 'either';
    if (need.isForAll === true) return 'allowed';
    if (need.isOperatorOnly === true) return 'denied';
    const ranks = ['viewer', 'member', 'admin', 'owner'];
    if (ranks.indexOf(ROLE_OF[actor] ?? 'owner') < ranks.indexOf(need.role)) return 'denied';
    if (actor === 'ofGroup' || actor === 'ofOtherGroup') {
      const groups = actor === 'ofGroup' ? ['sessions', 'environments'] : ['webhooks'];
      return need.isManagement !== true && groups.includes(groupOf(path) ?? '') ? 'allowed' : 'denied';
    }
    if (actor === 'ofAgent' || actor === 'ofOtherAgent') return need.isManagement === true ? 'denied' : 'either';
    return 'allowed';
  }

  it('needs the roles that the documents promise', () => {
    const promised: readonly (readonly [string, string, string])[] = [
      ['GET', '/v1/sessions', 'viewer'],
      ['POST', '/v1/sessions', 'member'],
      ['DELETE', '/v1/sessions/x', 'member'],
      ['GET', '/v1/api_keys', 'admin'],
      ['POST', '/v1/users/x', 'admin'],
      ['GET', '/v1/vaults', 'admin'],
      ['GET', '/v1/audit', 'admin'],
      ['GET', '/v1/budgets', 'viewer'],
      ['POST', '/v1/budgets', 'admin'],
      ['GET', '/v1/anything-new', 'viewer'],
      ['POST', '/v1/anything-new', 'member'],
    ];
    for (const [method, path, role] of promised) assert.equal(needOf(method, path).role, role, `${method} ${path}`);
    for (const path of ['/v1/tenants', '/v1/tenants/x', '/metrics', '/v1/plans', '/v1/encryption_keys'])
      assert.ok(needOf('GET', path).isOperatorOnly, path);
  });

  it('was more than three thousand cells, and none of them broke the server', (t) => {
    t.diagnostic(`${operations.length} operations, ${cells} cells`);
    assert.deepEqual(faults, []);
    assert.ok(cells >= MIN_CELLS, `${cells} cells`);
  });
});
