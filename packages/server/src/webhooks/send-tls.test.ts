import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { systemClock } from '../base/clock.ts';
import { createConnector } from '../egress/connector.ts';
import { createSender, type SendResult } from './send.ts';

const NAME = 'receiver.example';
const skip = spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed';

/** A certificate of its own for `NAME`, which nobody trusts yet. */
function makeCertificate(): { readonly key: string; readonly cert: string } {
  const folder = mkdtempSync(path.join(tmpdir(), 'cloister-tls-'));
  try {
    const [key, cert] = [path.join(folder, 'key.pem'), path.join(folder, 'cert.pem')];
    const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'];
    const subject = ['-subj', `/CN=${NAME}`, '-addext', `subjectAltName=DNS:${NAME}`];
    execFileSync('openssl', [...request, ...subject, '-keyout', key, '-out', cert], { stdio: 'ignore' });
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe('sending a webhook over TLS', { skip }, () => {
  const trusted = getCACertificates();
  const names: unknown[] = [];
  let certificate: { readonly key: string; readonly cert: string };
  let server: ReturnType<typeof createServer>;

  before(async () => {
    certificate = makeCertificate();
    server = createServer(certificate, (request, response) => {
      names.push([request.headers.host, 'servername' in request.socket ? request.socket.servername : undefined]);
      response.writeHead(204).end();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  after(() => {
    setDefaultCACertificates(trusted);
    server?.closeAllConnections();
    server?.close();
  });

  function post(name: string): Promise<SendResult> {
    const clock = systemClock;
    const connect = createConnector({ clock, timeoutMs: 2000, allowPrivateNetwork: true, resolve: async () => ['127.0.0.1'] });
    const url = new URL(`https://${name}:${(server.address() as AddressInfo).port}/`);
    return createSender({ connect, clock, timeoutMs: 2000 })({ url, headers: {}, body: '{}' }, new AbortController().signal);
  }

  it('sends nothing to one whose certificate nobody vouches for', async () => {
    const result = await post(NAME);
    assert.equal(result.kind, 'not_sent');
    assert.match(JSON.stringify(result), /secure connection failed: DEPTH_ZERO_SELF_SIGNED_CERT/);
    assert.deepEqual(names, []);
  });

  it('asks for the name it was given, though it connects to an address', async () => {
    setDefaultCACertificates([...trusted, certificate.cert]);
    assert.deepEqual(await post(NAME), { kind: 'answered', status: 204, retryAfter: null });
    assert.deepEqual(names, [[`${NAME}:${(server.address() as AddressInfo).port}`, NAME]]);
  });

  it('sends nothing to one whose certificate is for another name', async () => {
    setDefaultCACertificates([...trusted, certificate.cert]);
    for (const name of ['other.example', '127.0.0.1']) {
      const result = await post(name);
      assert.equal(result.kind, 'not_sent', name);
      assert.match(JSON.stringify(result), /ERR_TLS_CERT_ALTNAME_INVALID/);
    }
    assert.equal(names.length, 1);
  });
});
