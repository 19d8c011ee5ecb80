import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { isPlatformError } from '../base/errors.ts';
import { inspectConfig, knownSettings, loadClientConfig, loadConfig } from '../config.ts';

const directory = mkdtempSync(path.join(os.tmpdir(), 'cloister-settle-'));
after(() => rmSync(directory, { recursive: true }));

let files = 0;
function file(yaml: string, mode = 0o600): string {
  const name = path.join(directory, `cloister-${++files}.yaml`);
  writeFileSync(name, yaml, { mode });
  return name;
}

const refuses = (env: Readonly<Record<string, string>>, message: RegExp) =>
  assert.throws(
    () => loadConfig(env),
    (error) => isPlatformError(error, 'config_invalid') && message.test(error.detail),
  );

const shown = (env: Readonly<Record<string, string>>, name: string) => {
  const found = inspectConfig(env).settings.find((one) => one.name === name);
  return found === undefined ? undefined : [found.value, found.origin, found.origin_name];
};

describe('settings', () => {
  it('are known with kind, default and range from the code that reads them', () => {
    const known = knownSettings();
    assert.deepEqual(known.get('PORT'), {
      name: 'PORT',
      kind: 'whole number',
      fallback: '3000',
      allowed: '0 to 65535',
      isSecret: false,
    });
    assert.deepEqual([known.get('ANTHROPIC_API_KEY')?.isSecret, known.get('OIDC_CLIENT_SECRET')?.isSecret], [true, true]);
    assert.equal(known.get('CLOISTER_KEK')?.isSecret, true);
    assert.equal(known.has('ANTHROPIC_API_KEY_FILE'), false);
  });

  it('come from config.yaml where the environment says nothing, in any spelling of the name', () => {
    const CLOISTER_CONFIG = file(`
port: 8080
runtime: fake
max_queued: {per_session: 7}
trusted-proxies: [10.0.0.0/8, "::1"]
prestart_sandboxes: false
mcp_servers: {}
defaults:
  system_prompt: Be brief.
`);
    const config = loadConfig({ CLOISTER_CONFIG, PORT: '9090', DRAIN_SECONDS: '' });
    assert.deepEqual([config.port, config.runtime, config.maxQueuedPerSession, config.drainMs], [9090, 'fake', 7, 25_000]);
    assert.deepEqual(config.http.trustedProxies, ['10.0.0.0/8', '::1']);
    assert.deepEqual([config.prestartSandboxes, config.adapters.agentHttp.systemPrompt], [false, 'Be brief.']);
    assert.equal(loadClientConfig({ CLOISTER_CONFIG }).url, 'http://127.0.0.1:8080');
    assert.deepEqual(shown({ CLOISTER_CONFIG, PORT: '9090' }, 'PORT'), ['9090', 'environment', null]);
    assert.deepEqual(shown({ CLOISTER_CONFIG }, 'CLOISTER_RUNTIME'), ['fake', 'config.yaml', CLOISTER_CONFIG]);
    assert.deepEqual(shown({ CLOISTER_CONFIG }, 'MAX_QUEUED'), ['100000', 'default', null]);
  });

  it('are found in the data directory, which the file cannot move', () => {
    const DATA_DIR = path.join(directory, 'data');
    mkdirSync(DATA_DIR);
    writeFileSync(path.join(DATA_DIR, 'config.yaml'), 'warm_pool_max: 9\n');
    assert.equal(loadConfig({ DATA_DIR }).warmPoolMax, 9);
    writeFileSync(path.join(DATA_DIR, 'config.yaml'), 'data_dir: /elsewhere\n');
    refuses({ DATA_DIR }, /data_dir cannot be set in the file that is found by it/);
  });

  it('name what is unknown in the file, and what was meant', () => {
    refuses({ CLOISTER_CONFIG: file('prot: 1\n') }, /no setting "prot"; did you mean "port"\?/);
    refuses(
      { CLOISTER_CONFIG: file('max_queued: {per_sesion: 1}\n') },
      /no setting "max_queued.per_sesion"; did you mean "max_queued_per_session"/,
    );
    refuses({ CLOISTER_CONFIG: file('port: 1\nPORT: 2\n') }, /sets PORT a second time/);
    refuses({ CLOISTER_CONFIG: file('port: [{a: 1}]\n') }, /neither a text/);
    refuses({ CLOISTER_CONFIG: file('- port\n') }, /not a map/);
    refuses({ CLOISTER_CONFIG: '/nonexistent/config.yaml' }, /cannot be read/);
    const CLOISTER_CONFIG = file('drain_seconds: soon\n');
    refuses({ CLOISTER_CONFIG }, new RegExp(`^DRAIN_SECONDS: "soon" is not a whole number .* \\(it comes from ${CLOISTER_CONFIG}\\)`));
  });

  it('name unknown variables of ours, and leave those of Compose alone', () => {
    const { notes } = loadConfig({ CLOISTER_MODLE: 'x', CLOISTER_UID: '1000', CLOISTER_KEK_FILE: '/k', MODLE: 'x' });
    assert.deepEqual(notes, ['there is no setting CLOISTER_MODLE: did you mean CLOISTER_MODEL?']);
  });

  it('are taken under the names of other systems, with a note, below ours and above the file', () => {
    const CLOISTER_CONFIG = file('sandbox_idle_seconds: 5\nmax_concurrent_sandboxes: 6\n');
    const theirs = { MAX_CONCURRENT_CONTAINERS: '7', IDLE_TIMEOUT: '90000', JWT_SECRET: 'whatever-it-is' };
    const config = loadConfig({ ...theirs, CLOISTER_CONFIG });
    assert.deepEqual([config.maxConcurrentSandboxes, config.sandboxIdleMs], [7, 90_000]);
    assert.deepEqual(
      config.notes.map((note) => note.replace(/:.*/, '')),
      [
        'MAX_CONCURRENT_CONTAINERS is taken as MAX_CONCURRENT_SANDBOXES',
        'IDLE_TIMEOUT is taken as SANDBOX_IDLE_SECONDS',
        'JWT_SECRET is not used here',
      ],
    );
    assert.equal(loadConfig({ ...theirs, MAX_CONCURRENT_SANDBOXES: '8' }).maxConcurrentSandboxes, 8);
    refuses({ IDLE_TIMEOUT: 'long' }, /IDLE_TIMEOUT: "long" is not a number of milliseconds/);
    const { providers } = loadConfig({ CLAWHQ_GROK_API_KEY_FILE: file('xai-key-of-a-file\n') });
    assert.equal(providers.get('xai')?.auth?.value, 'Bearer xai-key-of-a-file');
  });

  it('that are secret are never shown, and a file that others may read is told of', () => {
    const CLOISTER_CONFIG = file('anthropic_api_key: sk-ant-from-the-file\nopenai_api_key: sk-not-used\n');
    chmodSync(CLOISTER_CONFIG, 0o644);
    const env = { CLOISTER_CONFIG, OPENAI_API_KEY_FILE: file('sk-from-a-secret-file'), DATABASE_URL: 'postgres://u:hidden-word@h/d' };
    const config = loadConfig(env);
    assert.equal(config.providers.get('openai')?.auth?.value, 'Bearer sk-from-a-secret-file');
    assert.match(config.notes.join('\n'), /holds secrets \(ANTHROPIC_API_KEY, OPENAI_API_KEY\).*chmod 600/);
    assert.deepEqual(shown(env, 'OPENAI_API_KEY'), [null, 'secret file', 'OPENAI_API_KEY_FILE']);
    assert.doesNotMatch(JSON.stringify(inspectConfig(env)), /sk-|hidden-word/);
  });

  it('are checked to the last, not only to the first that is wrong', () => {
    const { problems, settings } = inspectConfig({ PORT: 'x', DRAIN_SECONDS: '-1', CLOISTER_RUNTIME: 'vm', HOST: '::1' });
    assert.deepEqual(problems.map(({ setting }) => setting).sort(), ['CLOISTER_RUNTIME', 'DRAIN_SECONDS', 'PORT']);
    assert.equal(settings.find(({ name }) => name === 'HOST')?.value, '::1');
    assert.equal(inspectConfig({ CLOISTER_CONFIG: file('prot: 1') }).problems.length, 1);
  });
});
