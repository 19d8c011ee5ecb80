import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { after, before, test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { ask, KEY, openBench, WIRE_REQUESTS } from '../../test/support/egress-bench.ts';
import { egressSettings } from '../config/egress.ts';
import { makeAuthority, makeLeaf } from './inspection/certificates.ts';

/** No name server knows it: only the proxy does. */
const HOST = 'model.invalid';
const trusted = getCACertificates('default');
const keys: (string | undefined)[] = [];
const asked: { readonly target: string | undefined; readonly credentials: string | undefined }[] = [];
const proxy = createServer();
let provider: ReturnType<typeof createSecureServer>;

const portOf = (server: { address(): unknown }) => (server.address() as AddressInfo).port; // As: it listens on TCP.

before(async () => {
  const authority = await makeAuthority('An authority of the test', Date.now());
  const leaf = await makeLeaf(authority, HOST, 3_600_000, Date.now());
  setDefaultCACertificates([...trusted, authority.certificate]);
  provider = createSecureServer({ key: leaf.key, cert: leaf.certificate }, (request, response) => {
    request.resume();
    keys.push(String(request.headers['x-api-key']));
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"input_tokens":7}');
  });
  proxy.on('connect', ({ url, headers }, client) => {
    asked.push({ target: url, credentials: headers['proxy-authorization'] });
    const upstream = connect(portOf(provider), '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      upstream.pipe(client).pipe(upstream);
    });
    client.on('error', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
  });
  for (const server of [provider, proxy]) await once(server.listen(0, '127.0.0.1'), 'listening');
});

after(async () => {
  setDefaultCACertificates(trusted);
  provider.closeAllConnections();
  provider.close();
  proxy.close();
});

const count = { ...WIRE_REQUESTS.anthropic('hi', false), path: '/anthropic/v1/messages/count_tokens' };

function benchBehindProxy(except: string) {
  const { upstreamProxy } = egressSettings({ HTTPS_PROXY: `http://us%20er:secret@127.0.0.1:${portOf(proxy)}`, NO_PROXY: except });
  const config = { baseUrl: `https://${HOST}:${portOf(provider)}`, auth: { header: 'x-api-key', value: KEY } };
  return openBench({ providers: new Map([['anthropic', config]]), upstreamProxy });
}

test('providers are reached by the proxy, which sees neither key nor words', async () => {
  await using bench = await benchBehindProxy('');
  const reply = await ask(bench.socketPath, count);
  assert.deepEqual([reply.status, await reply.text()], [200, '{"input_tokens":7}']);
  assert.deepEqual(keys, [KEY]);
  const credentials = `Basic ${Buffer.from('us er:secret').toString('base64')}`;
  assert.deepEqual(asked, [{ target: `${HOST}:${portOf(provider)}`, credentials }]);
});

test('hosts of NO_PROXY are reached without it', async () => {
  asked.length = 0;
  await using bench = await benchBehindProxy(`other.example,${HOST}`);
  const reply = await ask(bench.socketPath, count);
  assert.equal(reply.status, 502);
  await reply.text();
  assert.deepEqual(asked, []);
});

test('what is no proxy is refused, and not repeated, since it may hold a password', () => {
  assert.throws(
    () => egressSettings({ HTTPS_PROXY: 'socks5://user:secret@proxy.example' }),
    (error: Error) => error.message.length > 0 && !JSON.stringify(error).includes('secret'),
  );
  assert.equal(egressSettings({ NO_PROXY: 'a' }).upstreamProxy, undefined);
});
