import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { type IncomingMessage, type RequestListener, request } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { type Bench, openBench, rawConnection, waitFor } from '../../../test/support/egress-bench.ts';
import { systemClock } from '../../base/clock.ts';
import { isPlatformError } from '../../base/errors.ts';
import type { CredentialSource, NetworkRule } from '../gateway.ts';
import { createAuthority } from './authority.ts';
import { type KeyPair, makeAuthority, makeLeaf } from './certificates.ts';
import { readCredentialsFile } from './credentials.ts';
import { createMask } from './mask.ts';

const SECRET = 'ghp_0123456789-secret';
const HOST = 'api.example';
let dataDir: string;
let upstreamAuthority: KeyPair;
let upstream: Server;
let answer: RequestListener;
const seen: IncomingMessage[] = [];

before(async () => {
  dataDir = await mkdtemp(path.join(tmpdir(), 'egress-ca-'));
  upstreamAuthority = await makeAuthority('The authority of the test', Date.now());
  const leaf = await makeLeaf(upstreamAuthority, HOST, 3_600_000, Date.now());
  upstream = createServer({ key: leaf.key, cert: leaf.certificate }, (message, response) => {
    seen.push(message);
    message.resume();
    answer(message, response);
  });
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
});
after(async () => {
  upstream.closeAllConnections();
  upstream.close();
  await rm(dataDir, { recursive: true });
});

// As: a server that listens on TCP has an address of this form.
const port = () => (upstream.address() as AddressInfo).port;

async function credentialsIn(entry: object, mode = 0o600): Promise<CredentialSource> {
  const file = path.join(dataDir, 'credentials.json');
  await writeFile(file, JSON.stringify({ credentials: [entry] }));
  await chmod(file, mode);
  return readCredentialsFile(file);
}

async function openInspected(
  rule: Omit<NetworkRule, 'host'>,
  entry: object = { name: 'token', hosts: [`${HOST}:${port()}`], secret: SECRET },
) {
  seen.length = 0;
  answer = (_message, response) => void response.end('fine');
  const authority = createAuthority({ dataDir, clock: systemClock });
  const inspection = { authority, credentials: await credentialsIn(entry), upstreamCa: [upstreamAuthority.certificate] };
  const network = { allowedHosts: [], rules: [{ host: `${HOST}:${port()}`, ...rule }] };
  return openBench({ inspection, network, resolve: async () => ['127.0.0.1'], allowPrivateAddresses: true });
}

/** TLS through the gateway, trusting only what a sandbox trusts. */
async function connectThrough(bench: Bench): Promise<TLSSocket> {
  const { socket, received } = rawConnection(bench.socketPath);
  socket.write(`CONNECT ${HOST}:${port()} HTTP/1.1\r\nhost: x\r\n\r\n`);
  await waitFor('the tunnel', () => received().includes('\r\n\r\n'));
  assert.match(received(), /^HTTP\/1\.1 200 /);
  socket.removeAllListeners('data');
  const ca = await readFile(path.join(bench.directory, 'ca.pem'));
  return new Promise((resolve, reject) => {
    const secured = connect({ socket, servername: HOST, ca }, () => resolve(secured));
    secured.once('error', reject);
  });
}

interface Sent {
  readonly status: number | undefined;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
}

function send(socket: TLSSocket, method: string, target: string, headers: Record<string, string> = {}): Promise<Sent> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ createConnection: () => socket, method, path: target, headers: { host: HOST, ...headers } });
    const read = async (message: IncomingMessage): Promise<Sent> => {
      let text = '';
      for await (const chunk of message.setEncoding('utf8')) text += chunk;
      return { status: message.statusCode, headers: message.headers, text };
    };
    outgoing.once('error', reject).once('response', (message) => void read(message).then(resolve, reject));
    outgoing.end();
  });
}

describe('a host whose TLS is looked into', () => {
  test('gets the credential, which the sandbox never sees: not in headers, redirects or the body', async () => {
    await using bench = await openInspected({ credential: 'token' });
    answer = (message, response) => {
      response.writeHead(302, { location: `https://elsewhere.example/?token=${SECRET}`, 'x-echo': message.headers.authorization });
      const text = `before ${message.headers.authorization} and ${Buffer.from(SECRET).toString('base64')} after`;
      for (const part of text.match(/.{1,5}/gs) ?? []) response.write(part);
      response.end();
    };
    const sent = await send(await connectThrough(bench), 'GET', '/user?q=1', { authorization: 'Bearer own', 'accept-encoding': 'gzip' });
    const [message] = seen;
    assert.deepEqual(
      [message?.url, message?.headers.authorization, message?.headers.host, message?.headers['accept-encoding']],
      ['/user?q=1', `Bearer ${SECRET}`, `${HOST}:${port()}`, 'identity'],
    );
    const stars = '*'.repeat(SECRET.length);
    assert.deepEqual(
      [sent.status, sent.headers.location, sent.headers['x-echo']],
      [302, `https://elsewhere.example/?token=${stars}`, `Bearer ${stars}`],
    );
    assert.match(sent.text, /^before Bearer \*+ and \*+ after$/);
    const kept = await (async () => {
      await bench.audit.flush();
      return (await bench.store.egress.list({ tenantId: 'default', sessionId: 'ses_1', limit: 10, order: 'asc' })).data;
    })();
    assert.deepEqual(
      kept.map(({ way, method, outcome, address }) => [way, method, outcome, address]),
      [['inspected', 'GET', 'allowed', '127.0.0.1']],
    );
    assert.doesNotMatch(JSON.stringify(kept), /ghp_|q=1/);
  });

  test('is held to methods and paths inside TLS too', async () => {
    await using bench = await openInspected({ isInspected: true, methods: ['GET'], paths: ['/open'] });
    const statusOf = async (method: string, target: string) => (await send(await connectThrough(bench), method, target)).status;
    assert.deepEqual(
      [
        await statusOf('GET', '/open'),
        await statusOf('POST', '/open'),
        await statusOf('GET', '/shut'),
        await statusOf('GET', '//evil.example/open'),
      ],
      [200, 403, 403, 403],
    );
    assert.equal(seen.length, 1);
  });

  test('a credential goes only where the operator says, whatever a policy asks for', async () => {
    for (const entry of [
      { name: 'token', hosts: ['other.example'], secret: SECRET },
      { name: 'token', hosts: [`${HOST}:${port()}`], secret: SECRET, tenants: ['another'] },
      { name: 'other', hosts: [`${HOST}:${port()}`], secret: SECRET },
    ]) {
      await using bench = await openInspected({ credential: 'token' }, entry);
      const sent = await send(await connectThrough(bench), 'GET', '/');
      assert.deepEqual([sent.status, seen.length], [403, 0]);
      assert.match(sent.text, /no credential/);
    }
  });

  test('must show a certificate that is good for its name', async () => {
    await using bench = await openInspected({ isInspected: true });
    upstream.setSecureContext(
      await makeLeaf(upstreamAuthority, 'other.example', 3_600_000, Date.now()).then(({ key, certificate }) => ({
        key,
        cert: certificate,
      })),
    );
    const sent = await send(await connectThrough(bench), 'GET', '/');
    assert.deepEqual([sent.status, seen.length], [502, 0]);
    assert.match(sent.text, /ERR_TLS_CERT_ALTNAME_INVALID/);
  });

  test('is refused where nothing can be looked into', async () => {
    const network = { allowedHosts: [HOST], rules: [{ host: HOST, isInspected: true }] };
    await using bench = await openBench({ network, resolve: async () => ['127.0.0.1'], allowPrivateAddresses: true });
    const { socket, received } = rawConnection(bench.socketPath);
    socket.write(`CONNECT ${HOST}:443 HTTP/1.1\r\nhost: x\r\n\r\n`);
    await waitFor('the refusal', () => received().includes('egress_denied'));
    socket.destroy();
  });
});

test("the key of the authority is made once, is its owner's alone, and stays outside", async () => {
  const own = await mkdtemp(path.join(tmpdir(), 'egress-own-'));
  const [first, second] = [createAuthority({ dataDir: own, clock: systemClock }), createAuthority({ dataDir: own, clock: systemClock })];
  const sandbox = await mkdtemp(path.join(tmpdir(), 'egress-sandbox-'));
  await Promise.all([first.handOut(sandbox), second.contextFor(HOST)]);
  const file = path.join(own, 'egress-ca', 'authority.pem');
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  const certificate = await readFile(path.join(sandbox, 'ca.pem'), 'utf8');
  assert.ok((await readFile(file, 'utf8')).includes(certificate.trim()));
  assert.equal(new X509Certificate(certificate).ca, true);
  const bundle = await readFile(path.join(sandbox, 'ca-bundle.pem'), 'utf8');
  assert.ok(bundle.includes(certificate.trim()) && bundle.split('BEGIN CERTIFICATE').length > 50);
  assert.doesNotMatch(bundle + certificate, /PRIVATE KEY/);
  assert.equal((await stat(path.join(sandbox, 'ca.pem'))).mode & 0o444, 0o444);
  await chmod(file, 0o644);
  await assert.rejects(createAuthority({ dataDir: own, clock: systemClock }).handOut(sandbox), (error) =>
    isPlatformError(error, 'config_invalid'),
  );
  for (const directory of [own, sandbox]) await rm(directory, { recursive: true });
});

test('a file of credentials that others can read, or that is wrong, stops the start without a word of what is in it', async () => {
  const entry = { name: 'token', hosts: [HOST], secret: SECRET };
  const refused = (error: unknown) => isPlatformError(error, 'config_invalid') && !error.detail.includes(SECRET);
  await assert.rejects(credentialsIn(entry, 0o640), refused);
  await assert.rejects(credentialsIn({ ...entry, hosts: [] }), refused);
  const basic = await credentialsIn({ ...entry, username: 'git' });
  const found = await basic.find({
    tenantId: 'default',
    sessionId: 'ses_1',
    agentId: null,
    name: 'token',
    covers: (hosts) => hosts.includes(HOST),
  });
  assert.equal(found?.value, `Basic ${Buffer.from(`git:${SECRET}`).toString('base64')}`);
});

test('a mask finds secrets wherever chunks are cut, and keeps the length', async () => {
  const text = `a${SECRET}b${SECRET}${SECRET}c`;
  for (let size = 1; size < 30; size++) {
    const mask = createMask([SECRET]);
    for (let at = 0; at < text.length; at += size) mask.write(text.slice(at, at + size));
    mask.end();
    let out = '';
    for await (const chunk of mask) out += String(chunk);
    assert.equal(out, text.replaceAll(SECRET, '*'.repeat(SECRET.length)), `chunks of ${size}`);
  }
});
