import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import tls from 'node:tls';
import { promisify } from 'node:util';
import { type Client, createClient } from '@cloister/api';
import { freePort } from '../../../../test/support/free-port.ts';
import { containersOf, docker } from '../support/engine.ts';
import { waitFor } from '../support/wait-for.ts';
import { converse, newSession, untilHealthy } from './conversation.ts';
import { type DeployImages, sandboxesOf } from './deploy-images.ts';
import { type Installation, newInstallation } from './installation.ts';
import { blockOf } from './page.ts';

const run = promisify(execFile);
const HEADING = '### Several on one host';
const page = (needle: string) => blockOf('docs/scaling.md', HEADING, needle).trim();
const KEY = `clst_${'5'.repeat(48)}`;
/** How many ports the two may choose from; others may be in use. */
const PORTS = 20;

/** From the page's first line to its last, with one server killed in between. */
export async function tryServersBehindNginx(images: DeployImages<'postgres' | 'nginx'>): Promise<void> {
  const [http, https, port] = [await freePort(), await freePort(), await freePort()];
  const lines = page('COMPOSE_PROFILES').split('\n');
  await using own = await newInstallation({
    ...Object.fromEntries(lines.map((line) => line.split('=', 2) as [string, string])), // each is NAME=value
    CLOISTER_PORT: `${port}-${Math.min(port + PORTS, 65_535)}`,
    CLOISTER_ADMIN_KEY: KEY,
    POSTGRES_PASSWORD: 'secret',
    CLOISTER_IMAGE: images.server,
    CLOISTER_SANDBOX_IMAGE: images.sandbox,
    POSTGRES_IMAGE: images.standIns.postgres,
    NGINX_IMAGE: images.standIns.nginx,
    HTTP_PORT: String(http),
    HTTPS_PORT: String(https),
    LEASE_SECONDS: '6',
    LOG_LEVEL: 'debug',
  });
  await trustOwnCertificate(own);
  await bash(own, page('--scale'));
  const client = createClient({ url: `https://localhost:${https}`, key: KEY });
  await untilHealthy(client);
  const session = await newSession(client);
  await converse(client, session, 'echo shared > shared.txt; cat shared.txt', /shared/);
  const servers = await serversOf(own);
  assert.equal(servers.length, 2);
  await untilBothServe(client, servers);

  await using streams = await follow(client, session);
  const victim = await holderOf(own, session, servers);
  await docker('kill', '--signal', 'KILL', victim);
  await converse(client, session, 'cat shared.txt; echo after the kill', /shared.*after the kill/s);
  await streams.haveSeen('after the kill');

  await bash(own, page('--scale'));
  await bash(own, page('reload'));
  await untilBothServe(client, await serversOf(own));
  await converse(client, session, 'cat shared.txt; echo both again', /shared.*both again/s);
  await streams.haveSeen('both again');
  await streams[Symbol.asyncDispose]();
  await bash(own, page('down'));
  assert.deepEqual(await containersOf(`com.docker.compose.project=${own.project}`), []);
  assert.deepEqual(await sandboxesOf(images.sandbox), [], 'no sandbox is left');
}

async function bash(own: Installation, commands: string): Promise<void> {
  const env = { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '/root' };
  await run('bash', ['-eo', 'pipefail', '-c', commands], { cwd: own.directory, env, timeout: 300_000 });
}

/** For nginx of the installation, and for this process. */
async function trustOwnCertificate({ directory }: Installation): Promise<void> {
  const place = path.join(directory, 'deploy', 'tls');
  await mkdir(place);
  const [key, certificate] = [path.join(place, 'tls.key'), path.join(place, 'tls.crt')];
  const kind = '-x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 1';
  await run('openssl', ['req', ...kind.split(' '), '-keyout', key, '-out', certificate]);
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), await readFile(certificate, 'utf8')]);
}

async function serversOf(own: Installation): Promise<readonly string[]> {
  return (await own.compose('ps', '-q', 'cloister')).split('\n').filter((id) => id !== '');
}

const logsOf = async (server: string) => {
  const { stdout, stderr } = await run('docker', ['logs', server], { maxBuffer: 64 * 1024 ** 2 });
  return `${stdout}${stderr}`;
};

/** Asks through nginx until each of the servers has answered something it was not asked before. */
async function untilBothServe(client: Client, servers: readonly string[]): Promise<void> {
  const served = async () => Promise.all(servers.map(async (server) => (await logsOf(server)).split('"path":"/v1/agents"').length));
  const former = await served();
  await waitFor(
    async () => {
      await client.agents.list();
      return (await served()).every((count, index) => count > (former[index] ?? 0));
    },
    { timeoutMs: 60_000, what: 'requests to reach both servers' },
  );
}

/** The server that has the session; its name for itself is that of its container. */
async function holderOf(own: Installation, session: string, servers: readonly string[]): Promise<string> {
  const sql = `SELECT host FROM nodes JOIN sessions ON node_id = nodes.id WHERE sessions.id = '${session}'`;
  const ask = ['exec', '-T', '-e', 'PGPASSWORD=secret', 'postgres', 'psql', '-h', '127.0.0.1', '-U', 'cloister', '-At', '-c', sql];
  const host = (await own.compose(...ask)).trim();
  const found = servers.find((id) => host !== '' && id.startsWith(host));
  return found ?? assert.fail(`none of the servers is ${host}`);
}

/** Enough to be held by both. */
const STREAMS = 4;

interface Streams extends AsyncDisposable {
  /** Each stream, in the order of the events and without any of them missing or twice. */
  haveSeen(text: string): Promise<void>;
}

async function follow(client: Client, session: string): Promise<Streams> {
  const stop = new AbortController();
  const seen = Array.from({ length: STREAMS }, (): { seq: number; text: string }[] => []);
  const reading = seen.map(async (events) => {
    for await (const item of client.events.stream(session, { after: 0, signal: stop.signal }))
      if (item.type === 'event') events.push({ seq: item.event.seq, text: JSON.stringify(item.event) });
  });
  const haveSeen = async (text: string) => {
    await waitFor(() => seen.every((events) => events.some((one) => one.text.includes(text) && one.text.includes('agent.'))), {
      timeoutMs: 60_000,
      what: `every stream to have ${text}`,
    });
    const { data } = await client.events.list(session, { limit: 1000, order: 'asc' });
    for (const events of seen) {
      const seqs = events.map(({ seq }) => seq);
      assert.deepEqual(seqs, data.map(({ seq }) => seq).slice(0, seqs.length));
    }
  };
  await haveSeen('shared');
  return {
    haveSeen,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await Promise.all(reading);
    },
  };
}
