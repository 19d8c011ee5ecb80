import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { ask, type BenchOptions, KEY, openBench, rawConnection, WIRE_REQUESTS, waitFor } from '../../test/support/egress-bench.ts';
import { type ProxyServer, startProxy } from '../../test/support/proxy-server.ts';
import { systemClock } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import { createLogger, silentLogger } from '../base/log.ts';
import { redactKnown } from '../base/redaction/redaction.ts';
import { egressSettings } from '../config/egress.ts';
import { createOidc } from '../oidc/oidc.ts';
import { createSender } from '../webhooks/send.ts';
import { isDeniedAddress } from './addresses.ts';
import { createConnector } from './connector.ts';
import { type Dialer, dial, type Resolve } from './dial.ts';
import type { FoundProvider } from './gateway.ts';
import { makeAuthority, makeLeaf } from './inspection/certificates.ts';
import { createKeyCheck } from './key-check.ts';
import { createProxies } from './proxies.ts';
import { createProxyFetch } from './proxy-fetch.ts';
import { createCheckedAgents } from './upstream-agents.ts';

/** No name server knows it: only the proxy does. */
const HOST = 'outside.invalid';
const PASSWORD = 'pass:of-the-proxy';
const trusted = getCACertificates('default');
const seen: string[] = [];
let plain: Server;
let secure: ReturnType<typeof createSecureServer>;
let proxy: ProxyServer;
let tls: Readonly<Record<'host' | 'proxy', { readonly key: string; readonly cert: string }>>;

const portOf = (server: { address(): unknown }) => (server.address() as AddressInfo).port; // As: it listens on TCP.
const plainUrl = () => `http://${HOST}:${portOf(plain)}`;
const secureUrl = () => `https://${HOST}:${portOf(secure)}`;

function answer(request: IncomingMessage, response: ServerResponse): void {
  seen.push(`${request.method} ${request.url} ${request.headers.host} ${request.headers['proxy-authorization'] ?? 'clean'}`);
  request.resume();
  const at = secureUrl();
  const issuer = { issuer: at, authorization_endpoint: `${at}/authorize`, token_endpoint: `${at}/token`, jwks_uri: `${at}/keys` };
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(request.url?.startsWith('/.well-known/') ? issuer : { input_tokens: 7, data: [{ id: 'one' }] }));
}

before(async () => {
  const authority = await makeAuthority('An authority of the test', Date.now());
  const certify = async (name: string) => {
    const { key, certificate } = await makeLeaf(authority, name, 3_600_000, Date.now());
    return { key, cert: certificate };
  };
  tls = { host: await certify(HOST), proxy: await certify('localhost') };
  setDefaultCACertificates([...trusted, authority.certificate]);
  [plain, secure, proxy] = [createServer(answer), createSecureServer(tls.host, answer), await startProxy()];
  for (const server of [plain, secure]) await once(server.listen(0, '127.0.0.1'), 'listening');
});

after(async () => {
  setDefaultCACertificates(trusted);
  for (const server of [plain, secure]) {
    server.closeAllConnections();
    server.close();
  }
  await proxy[Symbol.asyncDispose]();
});

afterEach(() => {
  proxy.credentials = undefined;
  proxy.refuseWith = undefined;
  proxy.passed.length = 0;
  seen.length = 0;
});

interface Behind {
  readonly except?: string;
  readonly names?: 'proxy' | 'here';
  readonly url?: string;
}

function settings({ except = '', names = 'proxy', url = proxy.url }: Behind = {}) {
  const { upstreamProxy } = egressSettings({ HTTPS_PROXY: url, HTTP_PROXY: url, NO_PROXY: except, PROXY_NAMES: names });
  assert.ok(upstreamProxy);
  return upstreamProxy;
}

function withPassword(): string {
  proxy.credentials = `Basic ${Buffer.from(`us er:${PASSWORD}`).toString('base64')}`;
  return proxy.url.replace('://', `://us%20er:${encodeURIComponent(PASSWORD)}@`);
}

const unknown = async (host: string) => Promise.reject(Object.assign(new Error(`no ${host}`), { code: 'ENOTFOUND' }));

function bench(behind: Behind = {}, options: BenchOptions = {}) {
  return openBench({ upstreamProxy: settings(behind), resolve: unknown, ...options });
}

const count = { ...WIRE_REQUESTS.anthropic('hi', false), path: '/anthropic/v1/messages/count_tokens' };
const providerAt = (baseUrl: string, owner: FoundProvider['owner']) => ({
  find: async () => ({ config: { baseUrl, auth: { header: 'x-api-key', value: KEY } }, owner }),
});

async function openTunnel(open: Awaited<ReturnType<typeof openBench>>, authority: string): Promise<string> {
  const { socket, received } = rawConnection(open.socketPath);
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n\r\n`);
  await waitFor('an answer', () => received().includes('\r\n\r\n'));
  if (received().startsWith('HTTP/1.1 200')) {
    socket.write(`GET /tunnelled HTTP/1.1\r\nhost: ${HOST}\r\nconnection: close\r\n\r\n`);
    await waitFor('the rest', () => received().includes('input_tokens'));
  } else await waitFor('the refusal', () => received().includes('}'));
  socket.destroy();
  return received();
}

function senderTo(behind: Behind, resolve: Resolve = unknown) {
  const proxies = createProxies(settings(behind));
  const connect = createConnector({ clock: systemClock, timeoutMs: 20_000, allowPrivateNetwork: false, resolve, proxies });
  const send = createSender({ connect, clock: systemClock, timeoutMs: 20_000 });
  return (url: string) => send({ url: new URL(url), headers: {}, body: '{}' }, new AbortController().signal);
}

function keyCheck(behind: Behind) {
  const dialer = { clock: systemClock, resolve: unknown, isDenied: isDeniedAddress, proxies: createProxies(settings(behind)) };
  return createKeyCheck({ clock: systemClock, openAgents: (timeoutMs) => createCheckedAgents({ ...dialer, timeoutMs }) });
}

const anthropicAt = (baseUrl: string) => ({ baseUrl, auth: { header: 'x-api-key', value: KEY } });

/** Everything that this server reaches outside: what makes it, and what the proxy sees of it. */
const ROUTES: Readonly<Record<string, { run(behind: Behind): Promise<unknown>; sees(): string }>> = {
  ...Object.fromEntries(
    (['managed', 'tenant'] as const).flatMap((owner) => [
      [`a provider over TLS with the ${owner} key`, modelCall(owner, secureUrl, () => `CONNECT ${HOST}:${portOf(secure)}`)],
      [`a provider without TLS with the ${owner} key`, modelCall(owner, plainUrl, () => `POST ${plainUrl()}/v1/messages/count_tokens`)],
    ]),
  ),
  'an allowed host, by a tunnel': {
    async run(behind) {
      const authority = `${HOST}:${portOf(plain)}`;
      await using open = await bench(behind, { network: { allowedHosts: [authority] } });
      return (await openTunnel(open, authority)).includes('input_tokens');
    },
    sees: () => `CONNECT ${HOST}:${portOf(plain)}`,
  },
  'an allowed host, by a plain request': {
    async run(behind) {
      await using open = await bench(behind, { network: { allowedHosts: [`${HOST}:${portOf(plain)}`] } });
      const reply = await ask(open.socketPath, { method: 'GET', path: `${plainUrl()}/page?a=b` });
      return (await reply.text()).includes('input_tokens');
    },
    sees: () => `GET ${plainUrl()}/page?a=b`,
  },
  'an MCP server over TLS': mcpCall(secureUrl, () => `CONNECT ${HOST}:${portOf(secure)}`),
  'an MCP server without TLS': mcpCall(plainUrl, () => `POST ${plainUrl()}/mcp?a=b`),
  'a webhook over TLS': {
    run: async (behind) => (await senderTo(behind)(`${secureUrl()}/hook`)).kind === 'answered',
    sees: () => `CONNECT ${HOST}:${portOf(secure)}`,
  },
  'a webhook without TLS': {
    run: async (behind) => (await senderTo(behind)(`${plainUrl()}/hook?a=b`)).kind === 'answered',
    sees: () => `POST ${plainUrl()}/hook?a=b`,
  },
  'the test of a key': {
    run: async (behind) => (await keyCheck(behind)('anthropic', anthropicAt(secureUrl()))).models.includes('one'),
    sees: () => `CONNECT ${HOST}:${portOf(secure)}`,
  },
  'the identity provider': {
    async run(behind) {
      const client = { clientId: 'a', clientSecret: 'b', name: 'IdP', tenant: 'default', tenantClaim: undefined };
      const policy = { allowedDomains: [], role: 'member' as const };
      const oidc = createOidc({ issuer: secureUrl(), ...client, ...policy }, silentLogger, createProxyFetch(settings(behind)));
      const began = await oidc.start('https://here.example/back').catch(() => undefined);
      return began?.url.startsWith(`${secureUrl()}/authorize`) === true;
    },
    sees: () => `CONNECT ${HOST}:${portOf(secure)}`,
  },
  'the collector of traces': {
    async run(behind) {
      const post = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}', redirect: 'error' as const };
      const answered = await createProxyFetch(settings(behind))(`${plainUrl()}/v1/traces`, post).catch(() => undefined);
      return answered?.status === 200 && (await answered.text()).includes('input_tokens');
    },
    sees: () => `POST ${plainUrl()}/v1/traces`,
  },
};

function modelCall(owner: FoundProvider['owner'], baseUrl: () => string, sees: () => string) {
  const run = async (behind: Behind) => {
    await using open = await bench(behind, { keys: providerAt(baseUrl(), owner) });
    const reply = await ask(open.socketPath, count);
    return (await reply.text()).includes('"input_tokens":7');
  };
  return { run, sees };
}

function mcpCall(base: () => string, sees: () => string) {
  const run = async (behind: Behind) => {
    const mcpServers = [{ name: 'docs', url: `${base()}/mcp?a=b` }];
    await using open = await bench(behind, { mcpServers, network: { allowedHosts: [], allowsMcpServers: true } });
    const reply = await ask(open.socketPath, { path: '/mcp/docs', body: {} });
    return (await reply.text()).includes('input_tokens');
  };
  return { run, sees };
}

describe('behind a proxy', () => {
  for (const [name, { run, sees }] of Object.entries(ROUTES))
    test(`${name} is reached by it alone, with its user and password, and without it where NO_PROXY says so`, async () => {
      assert.equal(await run({ url: withPassword() }), true);
      assert.deepEqual(proxy.passed, [sees()]);
      assert.equal(seen.length, 1);
      assert.match(seen[0] ?? '', /clean$/, 'what is meant for the proxy goes no further');
      // Reached directly it is not there: no name server knows it.
      assert.equal(await run({ url: withPassword(), except: `other.example,${HOST}` }), false);
      assert.equal(proxy.passed.length, 1);
    });

  test('that is spoken to by TLS itself, tunnels and plain requests go, if its certificate is good', async () => {
    await using secured = await startProxy(tls.proxy);
    const url = secured.url.replace('127.0.0.1', 'localhost');
    for (const place of [secureUrl(), plainUrl()]) assert.equal((await senderTo({ url })(`${place}/hook`)).kind, 'answered');
    assert.deepEqual(secured.passed, [`CONNECT ${HOST}:${portOf(secure)}`, `POST ${plainUrl()}/hook`]);
    const refused = await senderTo({ url: secured.url })(`${plainUrl()}/hook`);
    assert.ok(refused.kind === 'not_sent');
    assert.match(refused.error, /the proxy of HTTP_PROXY could not be reached \(ERR_TLS/);
    assert.equal(secured.passed.length, 2);
  });
});

describe('what a proxy is not asked for', () => {
  const dialer = (resolve: Dialer['resolve'], behind: Behind = {}): Dialer => ({
    resolve,
    isDenied: isDeniedAddress,
    clock: systemClock,
    timeoutMs: 20_000,
    proxies: createProxies(settings(behind)),
  });
  const to = (place: Dialer, host: string) => dial(place, { host, port: portOf(plain) }, new AbortController().signal);
  const denied = (error: unknown) => isPlatformError(error, 'egress_denied');

  test('private addresses, as they stand or behind a name, and names that only a private network has', async () => {
    for (const host of ['10.0.0.1', '169.254.169.254', 'fd00::1', '127.0.0.1'])
      await assert.rejects(to(dialer(unknown), host), denied, host);
    await assert.rejects(
      to(
        dialer(async () => ['93.184.216.34', '192.168.1.1']),
        HOST,
      ),
      denied,
    );
    for (const host of ['metadata.google.internal', 'printer.local', 'intranet', 'router.home.arpa'])
      await assert.rejects(to(dialer(unknown), host), denied, host);
    assert.deepEqual((await senderTo({}, async () => ['10.1.2.3'])(`${plainUrl()}/hook`)).kind, 'not_sent');
    assert.deepEqual(proxy.passed, []);
  });

  test('names that resolve to what is public here, or not at all, are its to look up; or none are', async () => {
    const site = `${HOST}:${portOf(plain)}`;
    for (const resolve of [unknown, async () => ['93.184.216.34'], () => new Promise<never>(() => undefined)])
      (await to(dialer(resolve), HOST)).destroy();
    assert.deepEqual(proxy.passed, Array(3).fill(`CONNECT ${site}`));
    proxy.passed.length = 0;
    proxy.refuseWith = 503;
    const strict = dialer(async () => ['93.184.216.34', '2606:2800:220:1::1'], { names: 'here' });
    await assert.rejects(to(strict, HOST), (error) => isPlatformError(error, 'egress_unreachable'));
    assert.deepEqual(proxy.passed, [`CONNECT 93.184.216.34:${portOf(plain)}`, `CONNECT [2606:2800:220:1::1]:${portOf(plain)}`]);
    await assert.rejects(to(dialer(unknown, { names: 'here' }), HOST), (error) => isPlatformError(error, 'egress_unreachable'));
    assert.equal(proxy.passed.length, 2);
  });

  test('what NO_PROXY and this host are', () => {
    const proxies = createProxies(
      settings({ except: 'one.example, .two.example *.three.example,four.example:8443 10.0.0.0/8 [::2],9.9.9.9' }),
    );
    const isDirect = (host: string, port = 443) => proxies?.of('tunnel', { host, port }) === undefined;
    for (const host of [
      'one.example',
      'a.one.example',
      'a.two.example',
      'a.three.example',
      '10.1.1.1',
      '::2',
      '9.9.9.9',
      'localhost',
      '127.0.0.2',
    ])
      assert.ok(isDirect(host), host);
    for (const host of ['none.example', 'notone.example', 'four.example', '11.1.1.1', '::3', '9.9.9.8']) assert.ok(!isDirect(host), host);
    assert.ok(isDirect('four.example', 8443));
    assert.ok(createProxies(settings({ except: '*' }))?.of('plain', { host: 'a.example', port: 80 }) === undefined);
  });
});

describe('a proxy that does not do its work', () => {
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'proxy-log-')), 'log');
  const log = createLogger({ level: 'debug', format: 'json', file });
  after(() => rmSync(path.dirname(file), { recursive: true, force: true }));
  const hasNoPassword = (text: string) => {
    for (const form of [PASSWORD, encodeURIComponent(PASSWORD), Buffer.from(`us er:${PASSWORD}`).toString('base64')])
      assert.ok(!text.includes(form), text);
  };

  test('is told as what it is: dead, closed to us, or closed to the host', async () => {
    const dead = await startProxy();
    await dead[Symbol.asyncDispose]();
    const url = withPassword();
    const cases: readonly [Behind, number | undefined, RegExp][] = [
      [
        { url: url.replace(/:\d+$/, new URL(dead.url).port.replace(/^/, ':')) },
        undefined,
        /proxy of HTTPS?_PROXY could not be reached \(ECONNREFUSED\)/,
      ],
      [{ url: proxy.url }, undefined, /proxy of HTTPS?_PROXY wants a user and a password, or others than it was given \(407\)/],
      [{ url }, 403, /proxy of HTTPS_PROXY does not allow it \(403\)|answered 403/],
    ];
    for (const [behind, refuseWith, told] of cases) {
      proxy.refuseWith = refuseWith;
      const site = `${HOST}:${portOf(plain)}`;
      await using open = await bench(behind, { log, keys: providerAt(secureUrl(), 'tenant'), network: { allowedHosts: [site] } });
      const tunnel = await openTunnel(open, site);
      const model = await (await ask(open.socketPath, count)).text();
      assert.match(tunnel, /HTTP\/1.1 502.*egress_proxy_failed.*"fix":/s);
      const page = await (await ask(open.socketPath, { method: 'GET', path: `${plainUrl()}/page` })).text();
      const hook = await senderTo(behind)(`${secureUrl()}/hook`);
      const key = await keyCheck(behind)('anthropic', anthropicAt(secureUrl()));
      const texts = [tunnel, model, hook.kind === 'not_sent' ? hook.error : hook.kind, key.message];
      for (const text of refuseWith === undefined ? [...texts, page] : texts) {
        assert.match(text, told);
        hasNoPassword(text);
      }
      assert.equal(key.result, 'unreachable');
    }
    await new Promise((resolve) => log.flush(resolve));
    const lines = readFileSync(file, 'utf8');
    assert.match(lines, /egress_proxy_failed/);
    hasNoPassword(lines);
  });

  test('what is no proxy is refused, and not repeated, since it may hold a password', () => {
    for (const name of ['HTTPS_PROXY', 'HTTP_PROXY'])
      assert.throws(
        () => egressSettings({ [name]: 'socks5://user:a-password@proxy.example' }),
        (error: Error) => error.message.length > 0 && !JSON.stringify(error).includes('a-password'),
      );
    assert.equal(egressSettings({ NO_PROXY: 'a' }).upstreamProxy, undefined);
    settings({ url: withPassword() });
    hasNoPassword(redactKnown(`one ${PASSWORD} two ${encodeURIComponent(PASSWORD)} ${proxy.credentials}`));
  });
});
