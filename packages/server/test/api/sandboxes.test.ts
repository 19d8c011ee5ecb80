import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { programEnvironment } from '../../../../test/support/program-environment.ts';
import { message, OTHER_KEY, startTestServer, type TestServer, type Wire } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const MAIN = path.resolve(import.meta.dirname, '../../src/cli/main.ts');
const TIMEOUT_MS = 60_000;

describe('live sandboxes', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server?.[Symbol.asyncDispose]());

  const cloister = (...args: string[]): Promise<{ readonly code: number; readonly stdout: string }> =>
    new Promise((resolve) => {
      const env = { ...programEnvironment(), CLOISTER_URL: server.url, CLOISTER_API_KEY: server.key };
      execFile(process.execPath, [MAIN, ...args], { env, timeout: TIMEOUT_MS }, (error, stdout) =>
        resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout }),
      );
    });

  const idle = async (session: string): Promise<Wire> => {
    let found: Wire;
    await waitFor(
      async () => {
        const { data } = (await server.json('GET', '/v1/sandboxes')).body;
        found = data.find((one: Wire) => one.session_id === session && one.state === 'idle');
        return found !== undefined;
      },
      { timeoutMs: 30_000, what: 'an idle sandbox' },
    );
    return found;
  };

  it('are stopped when no turn uses them, by their tenant alone, and the session goes on', async () => {
    const session = await server.createSession();
    assert.equal((await server.json('POST', `/v1/sessions/${session}/events?wait=20`, { body: { events: [message()] } })).status, 200);
    const { id } = await idle(session);
    const foreign = await server.json('DELETE', `/v1/sandboxes/${id}`, { key: OTHER_KEY });
    const missing = await server.json('DELETE', '/v1/sandboxes/sbx_none', { key: OTHER_KEY });
    assert.deepEqual([foreign.status, foreign.body.error.code], [404, missing.body.error.code]);
    assert.deepEqual((await server.json('DELETE', `/v1/sandboxes/${id}`)).body, { id, type: 'sandbox_deleted' });
    assert.equal((await server.json('DELETE', `/v1/sandboxes/${id}`)).body.error.code, 'sandbox_not_found');
    assert.equal((await server.json('POST', `/v1/sessions/${session}/events?wait=20`, { body: { events: [message()] } })).status, 200);
    const next = await idle(session);
    assert.notEqual(next.id, id);
    const shown = await cloister('sandboxes', 'show', session, '--json');
    assert.equal(JSON.parse(shown.stdout).id, next.id);
    assert.equal((await cloister('sandboxes', 'remove', next.id)).code, 0);
    assert.equal((await cloister('sandboxes', 'show', session)).code, 6);
  });

  it('and what they are made for can be made, shown and ended from the command line', async () => {
    const agent = (await cloister('agents', 'create', 'clerk', '--model', 'demo', '--system', 'Be brief.')).stdout.trim();
    assert.equal(JSON.parse((await cloister('agents', 'show', agent, '--json')).stdout).system, 'Be brief.');
    const environment = (await cloister('environments', 'create', 'plain')).stdout.trim();
    assert.equal(JSON.parse((await cloister('environments', 'show', environment)).stdout).config.type, 'container');
    const session = (await cloister('sessions', 'create', '-a', 'clerk', '-e', 'plain')).stdout.trim();
    assert.match((await cloister('sessions', 'show', session)).stdout, new RegExp(`^agent +clerk \\(${agent}, version 1\\)$`, 'm'));
    assert.equal((await cloister('sessions', 'delete', session)).code, 0);
    assert.equal((await cloister('sessions', 'show', session)).code, 6);
    assert.deepEqual(
      [(await cloister('agents', 'archive', agent)).code, (await cloister('environments', 'delete', environment)).code],
      [0, 0],
    );
  });
});
