import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { findAssets } from '../../src/assets.ts';
import { newUnique } from '../../src/base/ids.ts';
import { ensureSandboxImage, ensureServerImage } from '../../src/runtime/image.ts';
import { containersOf, docker, engineMissing } from '../support/engine.ts';
import { waitFor } from '../support/wait-for.ts';

const run = promisify(execFile);
const ROOT = path.resolve(import.meta.dirname, '../../../..');
const KEY = 'clst_test-key-for-a-server-in-a-container';
const READY_MS = 120_000;

/** What of a service in docker-compose.yml becomes an option of `docker run`. */
interface ComposeService {
  readonly command?: readonly string[];
  readonly user?: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly volumes: readonly string[];
  readonly network_mode?: string;
  readonly read_only: boolean;
  readonly tmpfs: readonly string[];
  readonly cap_drop: readonly string[];
  readonly cap_add?: readonly string[];
  readonly security_opt: readonly string[];
  readonly mem_limit: string;
  readonly pids_limit: number;
  readonly init: boolean;
  readonly restart: string;
  readonly ports?: readonly string[];
  readonly healthcheck: { readonly test: readonly string[] };
}

const { services, volumes } = parse(readFileSync(path.join(ROOT, 'docker-compose.yml'), 'utf8'), { merge: true }) as {
  services: Readonly<Record<'broker' | 'cloister' | 'postgres' | 'caddy' | 'nginx', ComposeService>>;
  volumes: object;
}; // our own file, whose shape the first test checks

describe('docker-compose.yml', () => {
  it('takes from its containers all that they do not need', () => {
    assert.deepEqual(Object.keys(services).sort(), ['broker', 'caddy', 'cloister', 'nginx', 'postgres']);
    assert.deepEqual(Object.keys(volumes).sort(), ['broker', 'caddy', 'data', 'postgres']);
    for (const [name, service] of Object.entries(services)) {
      assert.equal('privileged' in service || 'pid' in service || 'ipc' in service || 'devices' in service, false, name);
      // What is not ours brings its own way of becoming another user.
      if (name === 'postgres' || name === 'nginx') continue;
      const { read_only, cap_drop, security_opt, init, restart } = service;
      const expected = {
        read_only: true,
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
        init: true,
        restart: 'unless-stopped',
      };
      assert.deepEqual({ read_only, cap_drop, security_opt, init, restart }, expected, name);
      assert.match(service.mem_limit, /^\d+[mg]$/, name);
      assert.ok(service.pids_limit > 0, name);
    }
    assert.equal(services.broker.network_mode, 'none');
    assert.deepEqual(services.broker.cap_add, ['DAC_READ_SEARCH']);
    assert.equal(services.cloister.cap_add, undefined);
    assert.equal(JSON.stringify(services.cloister).includes('docker.sock'), false, "the engine's own socket is the broker's alone");
    assert.match(services.cloister.ports?.join() ?? '', /^\$\{CLOISTER_BIND:-127\.0\.0\.1\}:/, 'on the loopback');
  });
});

describe('a server in a container, behind the socket broker', { timeout: 400_000 }, () => {
  const tag = newUnique().toLowerCase();
  const images = { server: `cloister:e2e-${tag}`, sandbox: `cloister-sandbox:e2e-${tag}` };
  const names = {
    broker: `cloister-e2e-broker-${tag}`,
    cloister: `cloister-e2e-server-${tag}`,
    data: `cloister-e2e-data-${tag}`,
    socket: `cloister-e2e-socket-${tag}`,
  };
  let skip: string | false = false;
  let url = '';
  let installation = '';

  before(async () => {
    skip = await engineMissing();
    if (skip !== false) return;
    // `npm test` has built it; others read it meanwhile.
    const distDir = path.join(ROOT, 'packages/server/dist');
    if (!existsSync(path.join(distDir, 'cloister.mjs'))) await run(process.execPath, [path.join(ROOT, 'scripts/build.ts'), '--quiet']);
    const { sandboxImage: recipeDir, sandboxRunner: runnerDir } = findAssets();
    const onProgress = () => undefined;
    await ensureSandboxImage({ variant: 'default', tag: images.sandbox, recipeDir, runnerDir, onProgress });
    await ensureServerImage({ tag: images.server, recipeDir: ROOT, distDir, onProgress });
    await start('broker');
    await start('cloister');
  });
  after(async () => {
    if (skip !== false) return;
    await docker('rm', '--force', '--volumes', names.cloister, names.broker);
    const left = installation === '' ? [] : await containersOf(`cloister.installation=${installation}`);
    if (left.length > 0) await docker('rm', '--force', ...left);
    await docker('volume', 'rm', '--force', names.data, names.socket);
    await docker('rmi', images.server, images.sandbox);
  });

  /** As docker-compose.yml says, but for names, the port, and what stands in .env. */
  async function start(name: 'broker' | 'cloister'): Promise<void> {
    const service = services[name];
    const settings = {
      ...service.environment,
      ...(name === 'cloister' ? { CLOISTER_ADMIN_KEY: KEY, CLOISTER_SANDBOX_IMAGE: images.sandbox } : {}),
    };
    const options = [
      ...Object.entries(settings).flatMap(([variable, value]) => ['--env', `${variable}=${filled(value)}`]),
      ...service.volumes.flatMap((volume) => [
        '--volume',
        filled(volume)
          .replace(/^data:/, `${names.data}:`)
          .replace(/^broker:/, `${names.socket}:`),
      ]),
      ...service.tmpfs.flatMap((tmpfs) => ['--tmpfs', tmpfs]),
      ...service.cap_drop.flatMap((capability) => ['--cap-drop', capability]),
      ...(service.cap_add ?? []).flatMap((capability) => ['--cap-add', capability]),
      ...service.security_opt.flatMap((option) => ['--security-opt', option]),
      ...(service.user === undefined ? [] : ['--user', service.user]),
      ...(service.network_mode === undefined ? [] : ['--network', service.network_mode]),
      ...(service.ports === undefined ? [] : ['--publish', '127.0.0.1::3000']),
    ];
    const limits = ['--memory', service.mem_limit, '--pids-limit', String(service.pids_limit), '--read-only', '--init'];
    await docker('run', '--detach', '--name', names[name], ...options, ...limits, images.server, ...(service.command ?? []));
    await untilUp(name);
  }

  async function untilUp(name: 'broker' | 'cloister'): Promise<void> {
    if (name === 'broker') {
      const says = async () => (await run('docker', ['logs', names.broker])).stdout;
      await waitFor(async () => (await says()).includes('broker is ready') || undefined, { timeoutMs: READY_MS, what: 'the broker' });
      return;
    }
    const published = (await docker('port', names.cloister, '3000/tcp')).split('\n')[0] ?? '';
    url = `http://${published}`;
    await waitFor(async () => (await fetch(`${url}/health`).catch(() => undefined))?.ok, { timeoutMs: READY_MS, what: 'the server' });
  }

  async function ask(route: string, body?: object): Promise<Record<string, unknown>> {
    const headers = { 'x-api-key': KEY, 'content-type': 'application/json' };
    const response = await fetch(`${url}/v1${route}`, {
      headers,
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
    });
    const text = await response.text();
    assert.ok(response.ok, `${route}: ${response.status} ${text}`);
    return JSON.parse(text); // checked where it is used
  }
  const listed = async (route: string) => (await ask(route)).data as readonly Record<string, unknown>[]; // lists have it
  const send = (sessionId: string, text: string) =>
    ask(`/sessions/${sessionId}/events`, { events: [{ type: 'user.message', content: [{ type: 'text', text }] }] });
  const ends = (sessionId: string, count: number) =>
    waitFor(
      async () => {
        const events = await listed(`/sessions/${sessionId}/events?limit=500`);
        const found = events.filter(({ type }) => type === 'turn.ended');
        return found.length >= count ? { events, last: found.at(-1) } : undefined;
      },
      { timeoutMs: 180_000, what: `the end of turn ${count}` },
    );

  it('runs a turn in a sandbox, and goes on where it was after both were killed', async (t) => {
    if (skip !== false) return t.skip(skip);
    const tools = [{ type: 'agent_toolset_20260401', default_config: { permission_policy: { type: 'always_allow' } } }];
    const agent = await ask('/agents', { name: 'inside', model: 'demo', tools });
    const [environment] = await listed('/environments');
    const session = await ask('/sessions', { agent: agent.id, environment_id: environment?.id });
    const id = String(session.id);
    await send(id, 'run echo kept > kept.txt; id -u');
    const first = await ends(id, 1);
    assert.equal(first.last?.outcome, 'completed', JSON.stringify(first.events));
    assert.match(JSON.stringify(first.events.filter(({ type }) => type === 'agent.tool_result')), /1000/);

    const { stdout: status } = await run('docker', ['exec', names.cloister, 'cloister', 'doctor']).catch(
      (error: { stdout: string }) => error,
    );
    assert.match(status, /through the socket broker; this server is in a container: \/data is \S+_data on the host/);
    installation = (await docker('exec', names.broker, 'node', '-p', "fs.readFileSync('/run/cloister/installation', 'utf8')")).trim();
    const inside = (script: string) => docker('exec', names.cloister, 'node', '-e', script);
    const sockets = await inside(`
      const look = (place) => { try { return fs.readdirSync(place || '/', { withFileTypes: true }); } catch { return []; } };
      const walk = (place) => look(place).flatMap((one) => {
        const found = place + '/' + one.name;
        return one.isSocket() ? [found] : one.isDirectory() && !/^\\/(proc|sys|dev)$/.test(found) ? walk(found) : [];
      });
      console.log(walk(''));`);
    assert.match(sockets, /'\/run\/cloister\/engine\.sock'/);
    assert.doesNotMatch(sockets, /docker\.sock/, "the engine's own socket is not there");
    const refused = await inside(`
      for (const act of [() => fs.unlinkSync('/run/cloister/engine.sock'), ...['/run/cloister/x', '/opt/x'].map((place) => () => fs.writeFileSync(place, ''))])
        try { act(); console.log('went through'); } catch ({ code }) { console.log(code); }`);
    assert.equal(refused, 'EROFS\nEROFS\nEROFS\n');

    await docker('kill', names.cloister, names.broker);
    await docker('start', names.broker);
    await docker('start', names.cloister);
    await untilUp('cloister');
    await send(id, 'run cat kept.txt');
    const second = await ends(id, 2);
    assert.equal(second.last?.outcome, 'completed', JSON.stringify(second.events));
    assert.match(JSON.stringify(second.events.filter(({ type }) => type === 'agent.tool_result').at(-1)), /kept/);
  });

  it('does not start on a data directory that would be gone with its container', async (t) => {
    if (skip !== false) return t.skip(skip);
    const options = [
      '--rm',
      '--volumes-from',
      `${names.broker}:ro`,
      '--env',
      'DATA_DIR=/tmp/data',
      '--env',
      'DOCKER_HOST=unix:///run/cloister/engine.sock',
    ];
    const refused = await run('docker', ['run', ...options, '--user', '1000:1000', images.server]).then(
      () => assert.fail('it started'),
      (error: { stderr: string }) => error.stderr,
    );
    assert.match(refused, /DATA_DIR: \/tmp\/data lies in the server's own container/);
  });
});

/** `${NAME:-default}` as it is when .env has nothing. */
function filled(text: string): string {
  return text.replace(/\$\{[A-Z_]+:-([^}]*)\}/g, '$1');
}
