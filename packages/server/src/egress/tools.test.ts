import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { type Bench, openBench } from '../../test/support/egress-bench.ts';
import { startUpstream } from '../../test/support/upstream.ts';
import { systemClock } from '../base/clock.ts';
import { createAuthority } from './inspection/authority.ts';

const run = promisify(execFile);
const HOST = 'tools.example';
const AUTHORIZATION = `Basic ${Buffer.from('git:a-token-for-tools').toString('base64')}`;

/** What the forwarder is in a sandbox: a port on loopback that leads to the socket. */
async function openForwarder(bench: Bench) {
  const server = createServer((client) => {
    const gateway = connect(bench.socketPath);
    for (const [one, other] of [
      [client, gateway],
      [gateway, client],
    ] as const) {
      one.on('error', () => other.destroy()).pipe(other);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // As: a server that listens on TCP has an address of this form.
  const proxy = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    variables: { HTTPS_PROXY: proxy, https_proxy: proxy, http_proxy: proxy },
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => void server.close(() => resolve())),
  };
}

const missing = (program: string) => (spawnSync(program, ['--version']).status === 0 ? false : `${program} is not installed here`);

/** Runs a program with the variables of a sandbox, in a directory of its own. */
async function runBehind(
  bench: Bench,
  caFile: string,
  command: readonly [string, ...string[]],
): Promise<{ stdout: string; directory: string }> {
  const directory = await mkdtemp(path.join(tmpdir(), 'tools-'));
  await using forwarder = await openForwarder(bench);
  const [program, ...args] = command;
  const own = { GIT_SSL_CAINFO: caFile, CURL_CA_BUNDLE: caFile, GIT_TERMINAL_PROMPT: '0', GIT_CONFIG_NOSYSTEM: '1', HOME: directory };
  const { stdout } = await run(program, args, { cwd: directory, env: { PATH: process.env.PATH, ...forwarder.variables, ...own } });
  return { stdout, directory };
}

describe('tools through the gateway', () => {
  test('git clones and curl fetches through a tunnel, with the certificate of the host itself', {
    skip: missing('git') || missing('curl'),
  }, async () => {
    await using upstream = await startUpstream({ address: '127.0.0.1', host: HOST, hasGit: true });
    const site = `${HOST}:${upstream.port}`;
    const network = { allowedHosts: [site] };
    await using bench = await openBench({ network, resolve: async () => ['127.0.0.1'], allowPrivateAddresses: true });
    const cloned = await runBehind(bench, upstream.caFile, ['git', 'clone', '--quiet', `https://${site}/repo.git`, 'cloned']);
    assert.equal(await readFile(path.join(cloned.directory, 'cloned', 'read.me'), 'utf8'), 'from the repository\n');
    const fetched = await runBehind(bench, upstream.caFile, ['curl', '-sS', `https://${site}/file.txt`]);
    assert.equal(fetched.stdout, 'the file\n');
    await assert.rejects(runBehind(bench, upstream.caFile, ['curl', '-sS', 'https://elsewhere.example/']), /403/);
    for (const { directory } of [cloned, fetched]) await rm(directory, { recursive: true });
  });

  test('with a credential that they never see', { skip: missing('git') || missing('curl') }, async () => {
    await using upstream = await startUpstream({ address: '127.0.0.1', host: HOST, hasGit: true, authorization: AUTHORIZATION });
    const site = `${HOST}:${upstream.port}`;
    const dataDir = await mkdtemp(path.join(tmpdir(), 'tools-data-'));
    const file = path.join(dataDir, 'credentials.json');
    await writeFile(file, JSON.stringify({ credentials: [{ name: 'git', hosts: [site], username: 'git', secret: 'a-token-for-tools' }] }), {
      mode: 0o600,
    });
    const { readCredentialsFile } = await import('./inspection/credentials.ts');
    const inspection = {
      authority: createAuthority({ dataDir, clock: systemClock }),
      credentials: await readCredentialsFile(file),
      upstreamCa: [await readFile(upstream.caFile, 'utf8')],
    };
    const network = { allowedHosts: [], rules: [{ host: site, credential: 'git', paths: ['/repo.git', '/file.txt'] }] };
    await using bench = await openBench({ network, inspection, resolve: async () => ['127.0.0.1'], allowPrivateAddresses: true });
    const bundle = path.join(bench.directory, 'ca-bundle.pem');
    const cloned = await runBehind(bench, bundle, ['git', 'clone', '--quiet', `https://${site}/repo.git`, 'cloned']);
    assert.equal(await readFile(path.join(cloned.directory, 'cloned', 'read.me'), 'utf8'), 'from the repository\n');
    assert.ok(upstream.seen.some(({ method }) => method === 'POST'));
    assert.ok(upstream.seen.every(({ authorization }) => authorization === AUTHORIZATION));
    const fetched = await runBehind(bench, bundle, ['curl', '-sS', `https://${site}/file.txt`]);
    assert.equal(fetched.stdout, 'the file\n');
    const refused = await runBehind(bench, bundle, ['curl', '-sS', `https://${site}/tiny-package`]);
    assert.match(refused.stdout, /egress_denied/);
    for (const directory of [cloned.directory, fetched.directory, refused.directory, dataDir]) await rm(directory, { recursive: true });
  });
});
