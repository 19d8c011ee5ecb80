import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Command } from 'commander';
import { testBrowser } from '../../test/support/browser-session.ts';
import { type CliProcess, startCliProcess } from '../../test/support/cli-process.ts';
import { runCli } from '../../test/support/run-cli.ts';
import { startTestServer, type TestServer, type Wire } from '../../test/support/server.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { createProgram } from './program.ts';

const MS = 60_000;

/** Commands whose output is for no program, each with the reason. */
const WITHOUT_JSON: Readonly<Record<string, string>> = {
  serve: 'runs until it is stopped; its log is JSON by LOG_FORMAT',
  broker: 'runs until it is stopped',
  acp: 'speaks another protocol on standard output',
  completions: 'prints a script for a shell',
  'image context': 'writes a tar',
};
/** Commands whose JSON another test looks at. */
const ELSEWHERE: Readonly<Record<string, string>> = { 'db move': 'needs PostgreSQL: db.test.ts' };

function leaves(command: Command, before: readonly string[] = []): readonly (readonly [name: string, command: Command])[] {
  return command.commands.flatMap((one) => {
    const here = [...before, one.name()];
    return one.commands.length === 0 ? [[here.join(' '), one] as const] : leaves(one, here);
  });
}

const hasJson = (command: Command) => command.options.some(({ long }) => long === '--json');

it('every command can answer in JSON, but for those whose output is for no program', async () => {
  const without = leaves(await createProgram()).flatMap(([name, command]) => (hasJson(command) ? [] : [name]));
  assert.deepEqual(
    without.filter((name) => !Object.hasOwn(WITHOUT_JSON, name)),
    [],
  );
});

/** One value, or one on each line. */
function parsed(text: string): Wire {
  try {
    return JSON.parse(text);
  } catch {
    return text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
  }
}

describe('with --json a command prints JSON and nothing else:', { timeout: 300_000 }, () => {
  const ran = new Set<string>();
  let names: ReadonlySet<string>;
  let server: TestServer;
  let cli: CliProcess;
  let folder: string;

  before(async () => {
    names = new Set(leaves(await createProgram()).map(([name]) => name));
    folder = await mkdtemp(path.join(os.tmpdir(), 'cloister-json-'));
    server = await startTestServer({
      env: { SERVICE_PORTS: '19230-19232', WEBHOOK_ALLOW_PRIVATE_NETWORK: 'true', SWEEP_SECONDS: '1' },
    });
    cli = startCliProcess(settings());
  });
  after(async () => {
    await cli?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const settings = () => ({
    CLOISTER_URL: server.url,
    CLOISTER_API_KEY: server.key,
    DATA_DIR: server.dataDir,
    CLOISTER_RUNTIME: 'fake',
    HOME: folder,
  });
  const place = (name: string) => path.join(folder, name);
  const remember = (args: readonly string[]) => {
    const two = args.slice(0, 2).join(' ');
    const name = names.has(two) ? two : (args[0] ?? '');
    assert.ok(names.has(name), `${name} is no command`);
    ran.add(name);
  };

  /** Runs the command with --json, and answers what it printed. */
  async function json(args: readonly string[], { env = {}, codes = [0] }: { env?: Record<string, string>; codes?: number[] } = {}) {
    remember(args);
    const { code, stdout, stderr } = await cli.run([...args, '--json'], env);
    assert.ok(codes.includes(code), `${args.join(' ')} ended with ${code}: ${stderr}`);
    return parsed(stdout);
  }

  /** The same in a process of its own, for commands that read standard input. */
  async function jsonOf(args: readonly string[], stdin: string, codes: readonly number[] = [0]): Promise<Wire> {
    remember(args);
    const { code, stdout, stderr } = await runCli(settings(), [...args, '--json'], Buffer.from(stdin));
    assert.ok(code !== null && codes.includes(code), `${args.join(' ')} ended with ${code}: ${stderr}`);
    return parsed(stdout.toString());
  }

  const until = (what: string, route: string, isSo: (body: Wire) => boolean): Promise<Wire> =>
    waitFor(
      async () => {
        const { body } = await server.json('GET', route);
        return isSo(body) && body;
      },
      { timeoutMs: MS, what },
    );

  it('status, usage, budgets, audit', async () => {
    assert.equal((await json(['status'])).status, 'healthy');
    assert.equal((await json(['usage'])).total.calls, 0);
    const { id } = await json(['budgets', 'create', '5']);
    assert.equal((await json(['budgets', 'raise', id, '2'])).raised, 2);
    assert.equal((await json(['budgets', 'list']))[0].id, id);
    assert.equal((await json(['budgets', 'delete', id])).id, id);
    assert.equal((await json(['audit', 'list']))[0].subject, id);
    assert.ok((await json(['audit', 'export'])).length > 1);
    await writeFile(place('head.json'), JSON.stringify(await json(['audit', 'head'])));
    assert.equal((await json(['audit', 'verify', '--head', place('head.json')]))[0].intact, true);
  });

  it('keys, users, tenants', async () => {
    const { id } = await json(['keys', 'create', 'ci', '--role', 'viewer']);
    assert.equal((await json(['keys', 'update', id, '--name', 'other'])).name, 'other');
    assert.ok((await json(['keys', 'list'])).some((one: Wire) => one.id === id));
    assert.equal((await json(['keys', 'revoke', id])).status, 'revoked');
    const { link } = await json(['users', 'invite', 'ada@example.org']);
    assert.equal((await json(['users', 'invitations']))[0].email, 'ada@example.org');
    const accepted = { token: link.split('/').at(-1), name: 'Ada', password: 'correct horse battery' };
    await testBrowser(server).send('POST', '/v1/auth/accept_invitation', accepted);
    const ada = (await json(['users', 'list'])).find((one: Wire) => one.email === 'ada@example.org');
    assert.equal((await json(['users', 'update', ada.id, '--role', 'viewer'])).role, 'viewer');
    assert.equal((await json(['users', 'remove', ada.id])).id, ada.id);
    const open = await json(['users', 'invite', 'eve@example.org']);
    assert.equal((await json(['users', 'invitations', '--revoke', open.id])).id, open.id);
    assert.equal((await json(['tenants', 'create', 'Acme', '--id', 'acme'])).id, 'acme');
    assert.ok((await json(['tenants', 'list'])).some((one: Wire) => one.id === 'acme'));
    assert.equal((await json(['tenants', 'suspend', 'acme'])).status, 'suspended');
    assert.equal((await json(['tenants', 'resume', 'acme'])).status, 'active');
    assert.equal((await json(['tenants', 'delete', 'acme'])).id, 'acme');
  });

  it('agents, environments, sessions, sandboxes, files', async () => {
    const environment = await json(['environments', 'create', 'here']);
    assert.equal((await json(['environments', 'show', environment.id])).name, 'here');
    const agent = await json(['agents', 'create', 'clerk', '--model', 'demo']);
    assert.equal((await json(['agents', 'show', agent.id])).name, 'clerk');
    const { id } = await json(['sessions', 'create', '-a', agent.id, '-e', environment.id]);
    const said = await json(['agent', '-m', 'hello', '-s', id]);
    assert.ok(said.some((one: Wire) => one.type === 'turn.ended'));
    const talked = await jsonOf(['chat', '-s', id], 'hello\nagain\n');
    assert.equal(talked.filter((one: Wire) => one.type === 'turn.ended').length, 2);
    assert.ok((await json(['logs', '--session', id])).length > 1);
    await until('an idle sandbox', '/v1/sandboxes', ({ data }) => data.some((one: Wire) => one.session_id === id && one.state === 'idle'));
    await files(id);
    assert.ok((await json(['sandboxes', 'list'])).length > 0);
    const sandbox = await json(['sandboxes', 'show', id]);
    assert.equal((await json(['sandboxes', 'remove', sandbox.id])).id, sandbox.id);
    assert.equal((await json(['sessions', 'show', id])).id, id);
    assert.ok((await json(['sessions', 'list'])).length > 0);
    assert.equal((await json(['sessions', 'archive', id])).id, id);
    assert.equal((await json(['sessions', 'delete', id])).id, id);
    for (const noun of ['agents', 'environments']) assert.ok((await json([noun, 'list'])).length > 1);
    assert.equal((await json(['agents', 'archive', agent.id])).id, agent.id);
    assert.equal((await json(['environments', 'archive', environment.id])).id, environment.id);
    assert.equal((await json(['environments', 'delete', environment.id])).id, environment.id);
  });

  async function files(session: string): Promise<void> {
    await mkdir(place('sent'), { recursive: true });
    await writeFile(place('sent/notes.md'), 'to be kept');
    assert.equal((await json(['files', 'put', session, place('sent/notes.md')])).size_bytes, 10);
    assert.ok((await json(['files', 'ls', session])).some((one: Wire) => one.name === 'notes.md'));
    assert.deepEqual(await json(['files', 'get', session, 'notes.md', place('got')]), { file: place('got'), size_bytes: 10 });
    assert.equal((await cli.run(['files', 'get', session, 'notes.md', '--json'])).code, 2, 'JSON and the file do not share an output');
    assert.equal((await json(['files', 'pull', session, place('all.tar.gz')])).file, place('all.tar.gz'));
    assert.equal((await json(['files', 'push', session, place('sent')])).files, 1);
    assert.match((await json(['files', 'rm', session, 'notes.md'])).path, /notes\.md$/);
  }

  it('turns and approvals', async () => {
    await writeFile(place('careful.json'), JSON.stringify({ permission_rules: [{ tool: 'bash', policy: 'ask' }] }));
    const agent = await json(['agents', 'create', 'careful', '--model', 'demo', '-f', place('careful.json')]);
    const session = await server.createSession(agent.id);
    const message = { type: 'user.message', content: [{ type: 'text', text: '[[tool bash {"command":"ls"}]]' }] };
    await server.json('POST', `/v1/sessions/${session}/events`, { body: { events: [message] } });
    const asks = `/v1/approvals?session_id=${session}&states[]=pending`;
    await until('a question', asks, ({ data }) => data.length > 0);
    const [turn] = await json(['turns', 'list', '-s', session]);
    assert.equal((await json(['turns', 'show', session, turn.id])).state, 'waiting_approval');
    assert.equal((await json(['turns', 'cancel', session, turn.id])).id, turn.id);
    await until('the end', `/v1/sessions/${session}/turns/${turn.id}`, ({ state }) => state === 'cancelled');
    assert.equal((await json(['turns', 'retry', session, turn.id])).data[0].retry_of, turn.id);
    const { data } = await until('another question', asks, (body) => body.data.length > 0);
    assert.equal((await json(['approvals', 'list', '-s', session]))[0].id, data[0].id);
    assert.equal((await json(['approvals', 'show', data[0].id])).tool.name, 'bash');
    assert.equal((await json(['approvals', 'answer', data[0].id, 'deny'])).state, 'denied');
  });

  it('uploads, skills, memory', async () => {
    await mkdir(place('skill'), { recursive: true });
    await writeFile(place('skill/SKILL.md'), '---\nname: reports\ndescription: Writes reports.\n---\n');
    const file = await json(['uploads', 'add', place('skill/SKILL.md')]);
    assert.equal((await json(['uploads', 'list']))[0].id, file.id);
    assert.equal((await json(['uploads', 'get', file.id, place('upload')])).file, place('upload'));
    assert.equal((await json(['uploads', 'delete', file.id])).id, file.id);
    const skill = await json(['skills', 'push', place('skill')]);
    assert.notEqual((await json(['skills', 'push', place('skill'), '--skill', skill.id])).id, skill.id);
    assert.ok((await json(['skills', 'get', skill.id, place('skill.tar.gz')])).size_bytes > 0);
    assert.equal((await json(['skills', 'list']))[0].id, skill.id);
    assert.equal((await json(['skills', 'delete', skill.id])).id, skill.id);
    const store = (await json(['memory', 'create', 'Notes'])).id;
    for (const text of ['one', 'two']) {
      await writeFile(place('memory'), text);
      assert.equal((await json(['memory', 'write', store, '/a.md', place('memory')])).path, '/a.md');
    }
    assert.equal((await json(['memory', 'show', store, '/a.md'])).content, 'two');
    assert.equal((await json(['memory', 'list', store])).length, 1);
    assert.match((await json(['memory', 'delete', store, '/a.md'])).id, /^mem_/);
    assert.equal((await json(['memory', 'history', store])).length, 3);
    assert.equal((await json(['memory', 'stores']))[0].id, store);
  });

  it('vaults and webhooks', async () => {
    const { id } = await json(['vaults', 'create', 'Ours', '--default']);
    const addKey = ['vaults', 'add-key', id, '-p', 'openai-compatible', '-u', 'https://127.0.0.1:9/v1'];
    const key = await jsonOf(addKey, 'sk-secret');
    await jsonOf(['vaults', 'add-http', id, '-n', 'git', '-H', 'git.example.org'], 'not-to-be-told');
    assert.equal((await json(['vaults', 'show', id])).length, 2);
    assert.equal(typeof (await json(['vaults', 'test', id, key.id], { codes: [0, 1] })).result, 'string');
    assert.equal((await json(['vaults', 'remove', id, key.id])).id, key.id);
    assert.equal((await json(['vaults', 'list']))[0].id, id);
    const [former] = await json(['vaults', 'keys']);
    assert.notEqual((await json(['vaults', 'rotate-key'])).key_id, former.id);
    await until('nothing under the former key', '/v1/encryption_keys', ({ data }) =>
      data.every((one: Wire) => one.id !== former.id || one.uses === 0),
    );
    assert.equal((await json(['vaults', 'remove-key', former.id])).id, former.id);
    assert.equal((await json(['vaults', 'delete', id])).id, id);
    const hook = await json(['webhooks', 'create', 'http://127.0.0.1:9/hook']);
    assert.equal((await json(['webhooks', 'test', hook.id])).event_type, 'webhook.test');
    assert.equal((await json(['webhooks', 'list']))[0].id, hook.id);
    assert.equal((await json(['webhooks', 'delete', hook.id])).id, hook.id);
  });

  it('services', async () => {
    const { id } = await json(['services', 'deploy', 'one', '-i', 'any', '--process-only']);
    const running = () => until('a running service', `/v1/services/${id}`, ({ state }) => state === 'running');
    await running();
    assert.ok([await json(['services', 'logs', id])].flat().every(({ text }: Wire) => typeof text === 'string'));
    assert.equal((await json(['services', 'restart', id])).id, id);
    await running();
    assert.equal((await json(['services', 'stop', id])).desired_state, 'stopped');
    assert.equal((await json(['services', 'start', id])).desired_state, 'running');
    assert.equal((await json(['services', 'show', id])).id, id);
    assert.equal((await json(['services', 'list']))[0].id, id);
    assert.ok((await json(['services', 'events', id])).length > 1);
    assert.equal((await json(['services', 'delete', id])).id, id);
  });

  it('what looks after an installation, without a server', async () => {
    const { place: backup } = await json(['backup', '--to', place('backup.tar')]);
    const env = { DATA_DIR: place('restored'), CLOISTER_URL: 'http://127.0.0.1:1' };
    assert.equal((await json(['restore', backup], { env })).into, place('restored'));
    assert.equal((await json(['db', 'status'], { env })).store, 'sqlite');
    assert.deepEqual(await json(['db', 'migrate'], { env }), { made: [] });
    assert.equal((await json(['prune'], { env })).removed, false);
    assert.ok(Array.isArray((await json(['upgrade', '--check'], { env, codes: [0, 1] })).steps));
    assert.ok(Array.isArray((await json(['config', 'show'], { env })).settings));
    assert.equal((await json(['config', 'check'], { env })).ok, true);
    assert.ok(Array.isArray(await json(['doctor'], { env, codes: [0, 1] })));
    assert.equal((await json(['support-bundle', '--to', place('support.tar.gz')], { env })).place, place('support.tar.gz'));
    const init = ['init', '--yes', '--provider', 'demo', '--data-dir', place('new')];
    assert.equal((await json(init)).file, path.join(place('new'), 'config.yaml'));
  });

  it('and no command was left out', async () => {
    const all = leaves(await createProgram()).flatMap(([name, command]) => (hasJson(command) ? [name] : []));
    assert.deepEqual(
      all.filter((name) => !ran.has(name) && !Object.hasOwn(ELSEWHERE, name)),
      [],
    );
  });
});
