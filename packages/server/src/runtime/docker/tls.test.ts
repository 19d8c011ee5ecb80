import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { isPlatformError } from '../../base/errors.ts';
import { silentLogger } from '../../base/log.ts';
import { createBench } from '../conformance/bench.ts';
import { posixCommand } from '../conformance.ts';
import { createDockerDriver } from './driver.ts';
import { parseEndpoint } from './endpoint.ts';
import { testEngine } from './test-engine.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'cloister-tls-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
const inFolder = (name: string) => path.join(folder, name);

/** A certificate authority, and what it signs, as Docker's manual tells its reader to make them. */
function makeAuthority(name: string, ...signed: readonly string[]): void {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  execFileSync('mkdir', ['-p', inFolder(name)]);
  openssl('req', '-x509', ...key, '-keyout', `${name}/ca-key.pem`, '-out', `${name}/ca.pem`, '-subj', `/CN=${name}`, '-days', '2');
  writeFileSync(inFolder('san'), 'subjectAltName=IP:127.0.0.1');
  for (const one of signed) {
    openssl('req', ...key, '-keyout', `${name}/${one}key.pem`, '-out', `${name}/csr`, '-subj', `/CN=${one || 'client'}`);
    const by = ['-CA', `${name}/ca.pem`, '-CAkey', `${name}/ca-key.pem`, '-CAcreateserial', '-days', '2', '-extfile', 'san'];
    openssl('x509', '-req', '-in', `${name}/csr`, ...by, '-out', `${name}/${one}cert.pem`);
  }
}

const engine = await testEngine();

test('an engine over TLS is used whole, and only with certificates that both sides know', {
  skip: engine.ok ? false : engine.reason,
}, async () => {
  assert.ok(engine.ok);
  makeAuthority('ours', 'server-', '');
  makeAuthority('strangers', '');
  const file = (name: string) => readFileSync(inFolder(name));
  const proxy = tls.createServer(
    {
      ca: file('ours/ca.pem'),
      cert: file('ours/server-cert.pem'),
      key: file('ours/server-key.pem'),
      requestCert: true,
      allowHalfOpen: true,
    },
    (client) => {
      const upstream = net.connect({ path: '/var/run/docker.sock', allowHalfOpen: true });
      client.pipe(upstream).pipe(client);
      for (const [one, other] of [[client, upstream] as const, [upstream, client] as const]) one.on('error', () => other.destroy());
    },
  );
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const { port } = proxy.address() as AddressInfo; // it listens on TCP
  const endpoint = `tcp://127.0.0.1:${port}`;
  try {
    const bench = createBench({
      name: 'tls',
      createDriver: () => createDockerDriver({ endpoint, certPath: inFolder('ours'), log: silentLogger }),
      command: posixCommand,
      image: engine.image,
    });
    const { stdout, exit } = await bench.run(bench.spec({ name: 'cat' }), 'through TLS');
    assert.equal(stdout.toString(), 'through TLS');
    assert.equal(exit.exitCode, 0);
    await bench.cleanUp();
    await bench.close();

    // A stranger's authority says nothing of this engine; the engine knows nobody whom only a stranger vouches for.
    for (const [certPath, words] of [
      [inFolder('strangers'), /TLS with the container engine .* failed/],
      [undefined, /not a container engine|broke off|cannot be reached/],
    ] as const) {
      const driver = createDockerDriver({ endpoint, certPath, log: silentLogger });
      const probe = await driver.probe();
      await driver.close();
      assert.ok(!probe.ok && words.test(probe.detail), JSON.stringify(probe));
    }
    writeFileSync(inFolder('strangers/ca.pem'), file('ours/ca.pem'));
    const unknown = createDockerDriver({ endpoint, certPath: inFolder('strangers'), log: silentLogger });
    assert.equal((await unknown.probe()).ok, false);
    await unknown.close();
  } finally {
    proxy.close();
  }
});

test('TLS has its own port, and files that are missing are named', () => {
  makeAuthority('whole', '');
  const endpoint = parseEndpoint('tcp://engine.example', inFolder('whole'));
  assert.ok(endpoint.type === 'tcp' && endpoint.port === 2376 && endpoint.tls?.ca.includes('BEGIN CERTIFICATE'));
  assert.throws(
    () => parseEndpoint('tcp://engine.example', inFolder('none')),
    (error) => isPlatformError(error, 'config_invalid') && /DOCKER_CERT_PATH: .*ca\.pem cannot be read/.test(error.detail),
  );
});
