import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { it } from 'node:test';
import { promisify } from 'node:util';
import { startTestServer } from '../support/server.ts';

const MAIN = path.resolve(import.meta.dirname, '../../src/cli/main.ts');
const run = promisify(execFile);

it('keys, people and tenants are managed from the command line', { timeout: 120_000 }, async () => {
  await using server = await startTestServer();
  const cloister = async (...args: string[]) => {
    const env = { ...process.env, CLOISTER_URL: server.url, CLOISTER_API_KEY: server.key, NO_COLOR: '1' };
    return (await run(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, ...args], { env })).stdout.trim();
  };
  const key = await cloister('keys', 'create', 'ci', '--role', 'viewer', '--routes', 'agents,sessions', '--days', '7');
  const me = (await server.json('GET', '/v1/me', { key })).body;
  assert.deepEqual([me.role, me.scope], ['viewer', { type: 'routes', groups: ['agents', 'sessions'] }]);
  assert.match(await cloister('keys'), /ci +viewer +agents, sessions +active/);
  await cloister('keys', 'revoke', me.id);
  assert.match(await cloister('keys', 'list', '--all'), /ci .* revoked/);
  assert.match(await cloister('users', 'invite', 'ada@example.org', '--role', 'admin'), /#\/invitations\/clo_i_\w+$/);
  assert.match(await cloister('users', 'invitations'), /ada@example\.org +admin/);
  const owner = await cloister('tenants', 'create', 'Acme', '--id', 'acme');
  assert.equal((await server.json('GET', '/v1/me', { key: owner })).body.tenant.id, 'acme');
  await cloister('tenants', 'suspend', 'acme');
  assert.match(await cloister('tenants'), /acme +Acme +suspended/);
});
