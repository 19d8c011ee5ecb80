import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { isPlatformError } from '../base/errors.ts';
import { loadConfig } from '../config.ts';

const directory = mkdtempSync(path.join(os.tmpdir(), 'cloister-config-'));
after(() => rmSync(directory, { recursive: true }));

let files = 0;
function file(yaml: string): string {
  const name = path.join(directory, `config-${++files}.yaml`);
  writeFileSync(name, yaml);
  return name;
}

const refuses = (env: Readonly<Record<string, string>>, message: RegExp) =>
  assert.throws(
    () => loadConfig(env),
    (error) => isPlatformError(error, 'config_invalid') && message.test(error.detail),
  );

describe('the settings of Claude Agent HTTP', () => {
  it('are its defaults when nothing is said', () => {
    const { adapters, notes, port, store } = loadConfig({});
    const { sessionTtlMs, maxSessionsPerUser, permissionMode } = adapters.agentHttp;
    assert.deepEqual([sessionTtlMs, maxSessionsPerUser, permissionMode], [3_600_000, 5, 'bypassPermissions']);
    assert.deepEqual([port, store, notes], [3000, 'sqlite', []]);
  });

  it('come from the environment before the file, and from the file before the defaults', () => {
    const HOST_CONFIG_FILE = file(`
session:
  storage: memory
  ttl: 60
api:
  port: 8000
  max_sessions: 7
  max_sessions_per_user: 2
  cors_origins: ["*"]
defaults:
  system_prompt: Be brief.
  allowed_tools: [Read]
  permission_mode: plan
mcp_servers: {}
plugins: []
user:
`);
    const config = loadConfig({ HOST_CONFIG_FILE });
    const { notes } = config;
    const { agentHttp } = config.adapters;
    assert.deepEqual([config.store, config.port, config.maxConcurrentSandboxes], ['memory', 8000, 7]);
    assert.deepEqual([agentHttp.sessionTtlMs, agentHttp.maxSessionsPerUser, agentHttp.systemPrompt], [60_000, 2, 'Be brief.']);
    assert.deepEqual([agentHttp.permissionMode, agentHttp.allowedTools], ['plan', ['Read']]);
    assert.ok(notes.some((note) => /api.cors_origins .* no effect/.test(note)) && !notes.some((note) => note.startsWith('plugins')));
    const said = loadConfig({
      HOST_CONFIG_FILE,
      CLAUDE_AGENT_SESSION_TTL: '0',
      API_PORT: '9000',
      CLAUDE_AGENT_SESSION_STORAGE: 'sqlite',
      MAX_CONCURRENT_SANDBOXES: '3',
    });
    assert.deepEqual(
      [said.adapters.agentHttp.sessionTtlMs, said.port, said.store, said.maxConcurrentSandboxes],
      [undefined, 9000, 'sqlite', 3],
    );
    assert.equal(loadConfig({ API_PORT: '9000', PORT: '1234' }).port, 1234, 'ours goes first');
  });

  it('make a database URL of the parts of one', () => {
    const env = {
      CLAUDE_AGENT_SESSION_STORAGE: 'postgresql',
      CLAUDE_AGENT_SESSION_PG_HOST: 'db',
      CLAUDE_AGENT_SESSION_PG_PASSWORD: 'a b/c@d',
    };
    const config = loadConfig(env);
    assert.deepEqual([config.store, config.databaseUrl], ['postgres', 'postgres://postgres:a%20b%2Fc%40d@db:5432/claude_agent']);
    assert.doesNotMatch(JSON.stringify(config.notes), /a b/);
    assert.equal(loadConfig({ ...env, DATABASE_URL: 'postgres://here/x' }).databaseUrl, 'postgres://here/x');
  });

  it('name what is unknown or wrong, and what was meant', () => {
    refuses({ CLAUDE_AGENT_CONFIG_FILE: file('session:\n  tll: 5\n') }, /no setting "session.tll"; did you mean "session.ttl"\?/);
    refuses({ CLAUDE_AGENT_CONFIG_FILE: file('mcp_server: {}\n') }, /did you mean "mcp_servers"/);
    refuses({ CLAUDE_AGENT_CONFIG_FILE: file('weather: fine\n') }, /the settings are .*session\.ttl/);
    refuses({ CLAUDE_AGENT_CONFIG_FILE: file('session:\n  ttl: soon\n') }, /session.ttl is not a number/);
    refuses({ CLAUDE_AGENT_CONFIG_FILE: file('session: 5\n') }, /session is not a map/);
    refuses({ CLAUDE_AGENT_CONFIG_FILE: file('defaults:\n  permission_mode: yolo\n') }, /none of bypassPermissions/);
    refuses({ CLAUDE_AGENT_CONFIG_FILE: file('a: [') }, /no YAML/);
    refuses({ CLAUDE_AGENT_CONFIG_FILE: path.join(directory, 'none.yaml') }, /cannot be read/);
    refuses(
      { CLAUDE_AGENT_CONFIG_FILE: file('plugins:\n  - { type: local, path: /nowhere/at/all }\n') },
      /plugins.0.path: .* is no folder/,
    );
    refuses({ CLAUDE_AGENT_CONFIG_FILE: file('mcp_servers:\n  a: { type: sse, url: x }\n') }, /mcp_servers.a.url/);
    refuses(
      { CLAUDE_AGENT_CONFIG_FILE: file('mcp_servers:\n  a: { type: sse, url: "https://a", headers: { b: c } }\n') },
      /headers: put .* vault/,
    );
    refuses({ CLAUDE_AGENT_SESSION_STORAGE: 'mysql' }, /none of sqlite, postgresql, memory/);
    refuses({ CLAUDE_AGENT_SESSION_TTL: '-1' }, /CLAUDE_AGENT_SESSION_TTL/);
  });

  it('mean nothing when it is switched off', () => {
    const config = loadConfig({ ADAPTERS: 'none', API_PORT: '9000', CLAUDE_AGENT_SESSION_STORAGE: 'memory' });
    assert.deepEqual([config.port, config.store, config.adapters.enabled.size], [3000, 'sqlite', 0]);
  });
});

describe('the settings of NoClaw', () => {
  it('are taken where they have a place, and told of where they have none', () => {
    const { adapters, notes } = loadConfig({
      NOCLAW_API_KEY: 'a-key-of-sixteen-letters',
      CONTAINER_MEMORY_LIMIT: '2g',
      CONTAINER_CPU_LIMIT: '0.5',
      CONTAINER_TIMEOUT: '30',
      WORKSPACE_ROOT: '/workspaces',
    });
    const { noclaw } = adapters;
    assert.deepEqual([noclaw.apiKey, noclaw.memory, noclaw.cpus, noclaw.timeoutMs], ['a-key-of-sixteen-letters', '2g', 0.5, 30_000]);
    assert.match(notes.join('\n'), /WORKSPACE_ROOT has no effect/);
    assert.equal(loadConfig({}).adapters.noclaw.timeoutMs, 120_000);
  });

  it('are refused where they make no sense', () => {
    refuses({ NOCLAW_API_KEY: 'short' }, /NOCLAW_API_KEY: a key needs at least 16/);
    refuses({ CONTAINER_MEMORY_LIMIT: 'much' }, /CONTAINER_MEMORY_LIMIT/);
    refuses({ CONTAINER_CPU_LIMIT: '0' }, /CONTAINER_CPU_LIMIT/);
    refuses({ CONTAINER_TIMEOUT: '0' }, /CONTAINER_TIMEOUT/);
  });
});
