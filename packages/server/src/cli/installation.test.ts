import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { programEnvironment } from '../../../../test/support/program-environment.ts';
import { EXIT } from './exit-codes.ts';

const MAIN = path.join(import.meta.dirname, 'main.ts');
const TIMEOUT_MS = 60_000;

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(
  program: string,
  args: readonly string[],
  options: { env: Record<string, string>; cwd: string; input?: string },
): Promise<Result> {
  return new Promise((resolve) => {
    const { env, cwd, input = '' } = options;
    const child = execFile(program, args, { env, cwd, timeout: TIMEOUT_MS }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr });
    });
    child.stdin?.end(input);
  });
}

describe('what the command line does without a server', () => {
  let folder: string;
  let provider: Server;
  let baseUrl: string;

  const cloister = (args: readonly string[], more: { env?: Record<string, string>; input?: string } = {}) =>
    run(process.execPath, [MAIN, ...args], {
      env: { ...programEnvironment(), ...more.env },
      cwd: folder,
      ...(more.input === undefined ? {} : { input: more.input }),
    });

  before(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'cloister-installation-'));
    // Takes one key, as a model provider does.
    provider = createServer((request, response) => {
      const isRight = request.headers.authorization === 'Bearer sk-right-key';
      response.writeHead(isRight ? 200 : 401, { 'content-type': 'application/json' });
      response.end(JSON.stringify(isRight ? { data: [{ id: 'm1' }] } : { error: { message: 'wrong key' } }));
    }).listen(0, '127.0.0.1');
    await once(provider, 'listening');
    baseUrl = `http://127.0.0.1:${(provider.address() as AddressInfo).port}/v1`;
  });

  after(() => {
    provider.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const init = (...more: readonly string[]) => [
    'init',
    '--yes',
    '--provider',
    'openai-compatible',
    '--base-url',
    baseUrl,
    '--key-file',
    '-',
    ...more,
  ];

  it('inits: tries the key, writes a file for this user alone, and never twice unasked', async () => {
    const refused = await cloister(init(), { input: 'sk-wrong-key\n' });
    assert.equal(refused.code, EXIT.refused);
    assert.doesNotMatch(refused.stderr, /sk-wrong-key/);
    const done = await cloister(init('--model', 'm1', '--port', '3456', '--json'), { input: 'sk-right-key\n' });
    const file = path.join(folder, 'data', 'config.yaml');
    assert.deepEqual([done.code, done.stderr], [0, '']);
    assert.deepEqual([JSON.parse(done.stdout).file, JSON.parse(done.stdout).tested.result], [file, 'ok']);
    assert.deepEqual([statSync(file).mode & 0o777, statSync(path.dirname(file)).mode & 0o777], [0o600, 0o700]);
    assert.equal((await cloister(init('--no-test'), { input: 'sk-right-key' })).code, EXIT.rejected);
    const shown = await cloister(['config', 'show']);
    assert.match(shown.stdout, /^OPENAI_API_KEY +\(set, not shown\) +config\.yaml$/m);
    assert.match(shown.stdout, /^PORT +3456 +config\.yaml$/m);
    assert.doesNotMatch(shown.stdout, /sk-right-key/);
    const { settings } = JSON.parse((await cloister(['config', 'show', '--json'], { env: { PORT: '4000' } })).stdout);
    const port = settings.find(({ name }: { name: string }) => name === 'PORT');
    assert.deepEqual([port.value, port.origin], ['4000', 'environment']);
  });

  it('inits a .env for Compose, and asks for what is missing in words', async () => {
    const file = path.join(folder, '.env');
    assert.equal((await cloister(init('--dotenv', file, '--no-test'), { input: 'sk-key' })).code, 0);
    assert.match(readFileSync(file, 'utf8'), /^OPENAI_API_KEY=sk-key\nOPENAI_BASE_URL=http:/m);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const noKey = await cloister(['init', '--yes', '--provider', 'anthropic', '--force']);
    assert.deepEqual([noKey.code, /--key-file/.test(noKey.stderr)], [EXIT.usage, true]);
  });

  it('checks the settings to the last', async () => {
    const env = { PORT: 'x', DRAIN_SECONDS: '-1', CLOISTER_MODLE: 'm', MAX_CONCURRENT_CONTAINERS: '3' };
    const { code, stderr } = await cloister(['config', 'check'], { env });
    assert.equal(code, EXIT.rejected);
    assert.match(stderr, /wrong: PORT/);
    assert.match(stderr, /wrong: DRAIN_SECONDS/);
    assert.match(stderr, /did you mean CLOISTER_MODEL\?/);
    assert.match(stderr, /MAX_CONCURRENT_CONTAINERS is taken as MAX_CONCURRENT_SANDBOXES/);
    assert.equal((await cloister(['config', 'check'])).code, 0);
  });

  it('completes commands, their commands and options in bash', async () => {
    const { code, stdout } = await cloister(['completions', 'bash']);
    assert.equal(code, 0);
    const script = path.join(folder, 'completions.bash');
    const complete = `
offer() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _cloister; printf '%s\\n' "\${COMPREPLY[*]}"; }
offer cloister sess
offer cloister sessions sh
offer cloister sessions list --js
offer cloister agent --sess`;
    writeFileSync(script, `${stdout}\n${complete}\n`);
    const offered = await run('/bin/bash', [script], { env: programEnvironment(), cwd: folder });
    assert.deepEqual([offered.stdout, offered.stderr], ['sessions\nshow\n--json\n--session\n', '']);
    const [zsh, fish] = await Promise.all([cloister(['completions', 'zsh']), cloister(['completions', 'fish'])]);
    assert.match(zsh.stdout, /^#compdef cloister\n/);
    assert.match(fish.stdout, /^complete -c cloister -f -n 'not __fish_seen_subcommand_from .*' -a sessions /m);
    assert.equal((await cloister(['completions', 'csh'])).code, EXIT.usage);
  });
});
