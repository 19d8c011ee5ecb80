import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { programEnvironment } from '../../../../test/support/program-environment.ts';
import { KEY, type Say, type ScriptedServer, startScriptedServer } from '../../../../test/support/scripted-server.ts';
import { VERSION } from '../base/version.ts';
import { EXIT } from './exit-codes.ts';

const MAIN = path.join(import.meta.dirname, 'main.ts');
const TIMEOUT_MS = 30_000;
const text = (value: string) => [{ type: 'text', text: value }];

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function cloister(env: Record<string, string>, ...args: string[]): Promise<Result> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [MAIN, ...args], { env, timeout: TIMEOUT_MS }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr });
    });
    child.stdin?.end();
  });
}

/** The scripted agent: what it does is in the message. */
function answer(event: Record<string, unknown>, say: Say): void {
  const content = Array.isArray(event.content) ? String(event.content[0]?.text) : '';
  const end = (outcome: string, error: unknown = null) => say({ type: 'turn.ended', event_id: asked, outcome, stop_reason: null, error });
  if (event.type === 'user.message') asked = event.id;
  if (content === 'hello') {
    say({ type: 'event_start', event: { type: 'agent.message', id: 'msg_1' } });
    for (const piece of ['Good ', 'day'])
      say({ type: 'event_delta', event_id: 'msg_1', delta: { type: 'content_delta', index: 0, content: { type: 'text', text: piece } } });
    say({ type: 'agent.message', id: 'msg_1', content: text('Good day!') });
    end('completed');
  }
  if (content === 'ask')
    say({ type: 'agent.tool_use', id: 'tool_1', name: 'bash', input: { command: 'make\u001b[2J' }, evaluated_permission: 'ask' });
  if (event.type === 'user.tool_confirmation') {
    say({ type: 'agent.tool_result', tool_use_id: 'tool_1', content: text('made'), is_error: event.result === 'deny' });
    end('completed');
  }
  if (content === 'fail') end('failed', { code: 'model_overloaded', message: 'Status 529.', fix: 'Wait a minute.' });
  if (event.type === 'user.interrupt') end('cancelled');
}
let asked: unknown;

describe('command line', () => {
  let server: ScriptedServer;
  let folder: string;
  let env: Record<string, string>;

  before(async () => {
    server = await startScriptedServer(answer);
    folder = mkdtempSync(path.join(tmpdir(), 'cloister-cli-'));
    writeFileSync(path.join(folder, 'admin.key'), `${KEY}\n`);
    env = { CLOISTER_URL: server.url, DATA_DIR: folder, ...programEnvironment() };
  });

  after(async () => {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('tells its version and its exit codes', async () => {
    assert.deepEqual(await cloister(env, '--version'), { code: 0, stdout: `${VERSION}\n`, stderr: '' });
    const help = await cloister(env, '--help');
    assert.equal(help.code, 0);
    for (const code of Object.values(EXIT)) assert.match(help.stdout, new RegExp(`^  ${code}  `, 'm'));
  });

  it('answers a wrong command line with 2', async () => {
    assert.equal((await cloister(env, 'agent')).code, EXIT.usage);
    assert.equal((await cloister(env, 'nonsense')).code, EXIT.usage);
    assert.equal((await cloister(env, 'sessions', 'list', '--limit', 'x')).code, EXIT.usage);
  });

  it('shows the status, for people and for programs', async () => {
    const shown = await cloister(env, 'status');
    assert.equal(shown.code, EXIT.ok);
    assert.match(shown.stdout, /is healthy\.[\s\S]*runtime +docker[\s\S]*model +demo: no provider key is set/);
    assert.match(
      shown.stdout,
      /isolation +container: [\s\S]*network +none but through the gateway\n[\s\S]*stages +queue 1, start 180, first_token 12 ms/,
    );
    const { status, url, model } = JSON.parse((await cloister(env, 'status', '--json')).stdout);
    assert.deepEqual({ status, url, model }, { status: 'healthy', url: server.url, model: 'demo' });
  });

  it('sends one message and prints the answer once, on stdout', async () => {
    const { code, stdout, stderr } = await cloister(env, 'agent', '-m', 'hello');
    assert.deepEqual({ code, stdout }, { code: 0, stdout: 'Good day!\n' });
    assert.match(stderr, /^session ses_\w+$/m);
  });

  it('goes on with a session and prints events as JSON lines', async () => {
    const first = await cloister(env, 'agent', '-m', 'hello');
    const session = /session (\w+)/.exec(first.stderr)?.[1] ?? '';
    const { stdout } = await cloister(env, 'agent', '-m', 'hello', '--json', '--session', session);
    const types = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).type);
    assert.deepEqual(
      types.filter((type) => !type.startsWith('event_')),
      ['user.message', 'agent.message', 'turn.ended'],
    );
  });

  it('denies a permission that nobody is there to give, and gives it when told to', async () => {
    const denied = await cloister(env, 'agent', '-m', 'ask');
    assert.match(denied.stderr, /Denied bash: nobody is here to ask/);
    assert.equal(server.received.at(-1)?.result, 'deny');
    const allowed = await cloister(env, 'agent', '-m', 'ask', '--approve', 'all');
    assert.equal(allowed.code, 0);
    assert.equal(server.received.at(-1)?.result, 'allow');
    // What an agent writes must not steer the terminal.
    assert.equal(allowed.stderr.includes('\u001b'), false);
  });

  it('fails with the turn, saying what, why and what to do', async () => {
    const { code, stdout, stderr } = await cloister(env, 'agent', '-m', 'fail');
    assert.deepEqual({ code, stdout }, { code: EXIT.failed, stdout: '' });
    assert.match(stderr, /error: The model provider is overloaded\.\n {2}Status 529\.\n {2}Fix: Wait a minute\.\n$/);
  });

  it('interrupts the turn on Ctrl-C', async () => {
    const child = spawn(process.execPath, [MAIN, 'agent', '-m', 'wait'], { env, stdio: ['ignore', 'ignore', 'pipe'], timeout: TIMEOUT_MS });
    await server.waitFor((event) => event.type === 'user.message' && JSON.stringify(event).includes('wait'));
    child.kill('SIGINT');
    const [code] = await once(child, 'exit');
    assert.equal(code, EXIT.interrupted);
    assert.deepEqual(server.received.at(-1), { type: 'user.interrupt' });
  });

  it('chats: commands, messages and a failed turn that does not end it', async () => {
    const child = execFile(process.execPath, [MAIN, 'chat'], { env, timeout: TIMEOUT_MS });
    child.stdin?.end('/session\nfail\nhello\n/quit\n');
    const output = { stdout: '', stderr: '' };
    child.stdout?.on('data', (chunk) => {
      output.stdout += chunk;
    });
    child.stderr?.on('data', (chunk) => {
      output.stderr += chunk;
    });
    const [code] = await once(child, 'close');
    assert.deepEqual({ code, stdout: output.stdout }, { code: 0, stdout: 'Good day!\n' });
    assert.match(output.stderr, /overloaded/);
  });

  it('lists sessions and agents', async () => {
    assert.match((await cloister(env, 'sessions', 'list')).stdout, /^ID +STATUS[\s\S]*ses_\w+ +idle +Assistant/);
    assert.match((await cloister(env, 'agents', 'list')).stdout, /agt_1 +1 +demo +builtin +default/);
  });

  it('has an exit code for each kind of failure, and never a stack trace', async () => {
    const wrongKey = await cloister({ ...env, CLOISTER_API_KEY: 'clst_wrong' }, 'agents');
    const noKey = await cloister({ ...env, DATA_DIR: '/nonexistent' }, 'agents');
    const noSession = await cloister(env, 'agent', '-m', 'x', '--session', 'ses_nope');
    const noServer = await cloister({ ...env, CLOISTER_URL: 'http://127.0.0.1:1' }, 'status');
    const badSetting = await cloister({ PATH: env.PATH ?? '', PORT: 'x' }, 'status');
    assert.deepEqual(
      [wrongKey, noKey, noSession, noServer, badSetting].map((one) => one.code),
      [EXIT.refused, EXIT.refused, EXIT.notFound, EXIT.unreachable, EXIT.rejected],
    );
    assert.match(wrongKey.stderr, /Request: req_1/);
    assert.match(noServer.stderr, /No server answers\.[\s\S]*npm start/);
    for (const one of [wrongKey, noKey, noSession, noServer, badSetting]) assert.doesNotMatch(one.stderr, /\n\s+at |node:/);
  });
});
