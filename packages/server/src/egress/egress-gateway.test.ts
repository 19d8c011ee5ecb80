import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { ask, KEY, openAudit, openBench, providersAt, rawConnection, WIRE_REQUESTS, waitFor } from '../../test/support/egress-bench.ts';
import { systemClock } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import { createLogger, silentLogger } from '../base/log.ts';
import { createEgressGateway } from './egress-gateway.ts';
import type { GatewayBinding } from './gateway.ts';

const observer = { onStart: () => undefined, onEnd: () => undefined };
const bindingAt = (directory: string): GatewayBinding => ({
  sandboxId: 'sbx_1',
  tenantId: 'default',
  sessionId: 'ses_1',
  directory,
  network: { allowedHosts: [] },
  observer,
});
const { audit } = await openAudit();
const bare = () => createEgressGateway({ providers: new Map(), modelIdleMs: 1_000, audit, clock: systemClock, log: silentLogger });

test('the socket is open to every user, and gone with its connection', async () => {
  await using bench = await openBench();
  assert.equal(statSync(bench.socketPath).mode & 0o777, 0o666);
  await bench.connection.close();
  assert.equal(existsSync(bench.socketPath), false);
  await bench.connection.close();
});

test('a stale socket is replaced, anything else in its place is not', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'egress-'));
  const socketPath = path.join(directory, 'gateway.sock');
  const child = createServer();
  await new Promise<void>((resolve) => child.listen(socketPath, resolve));
  const gateway = bare();
  await gateway.open(bindingAt(directory));
  assert.equal((await ask(socketPath, { method: 'HEAD', path: '/anthropic/api/hello' })).status, 200);
  await gateway.close();
  child.close();
  await writeFile(socketPath, 'not a socket');
  const second = bare();
  await assert.rejects(second.open(bindingAt(directory)), (error) => isPlatformError(error, 'config_invalid'));
  await second.close();
  await assert.rejects(second.open(bindingAt(directory)), (error) => isPlatformError(error, 'draining'));
  await rm(directory, { recursive: true });
});

test('opening a directory again replaces the former connection and keeps the new socket', async () => {
  await using bench = await openBench();
  const again = await bench.gateway.open(bindingAt(bench.directory));
  await bench.connection.close();
  assert.equal((await ask(bench.socketPath, { method: 'HEAD', path: '/anthropic/api/hello' })).status, 200);
  await again.close();
});

test('a path no socket can have is refused with its length', async () => {
  const gateway = bare();
  const directory = path.join(tmpdir(), 'x'.repeat(100));
  await assert.rejects(
    gateway.open(bindingAt(directory)),
    (error) => isPlatformError(error, 'config_invalid') && /107.*DATA_DIR/s.test(error.detail),
  );
  assert.equal(existsSync(directory), false);
  await gateway.close();
});

test('closing aborts what is under way and leaves no descriptor behind', async () => {
  const openFiles = () => readdirSync('/proc/self/fd').length;
  // The first round warms what stays for the life of the process.
  await round();
  const before = openFiles();
  for (let index = 0; index < 5; index++) await round();
  await waitFor('descriptors to go back', () => openFiles() <= before);
});

async function round(): Promise<void> {
  await using bench = await openBench();
  const replies = await Promise.all([1, 2, 3].map(() => ask(bench.socketPath, WIRE_REQUESTS.anthropic('[[silent]]'))));
  const half = rawConnection(bench.socketPath);
  half.socket.write('POST /anthropic/v1/messages HTTP/1.1\r\n');
  const rests = replies.map((reply) => assert.rejects(reply.text()));
  await bench.gateway.close();
  await Promise.all(rests);
  half.socket.destroy();
  assert.deepEqual(
    bench.ends.map((end) => end.failure),
    ['aborted', 'aborted', 'aborted'],
  );
  await waitFor('the provider to be let go', () => bench.model.activeStreams() === 0);
}

test('two sandboxes have each their own socket, policy and observer', async () => {
  await using bench = await openBench();
  const directory = await mkdtemp(path.join(tmpdir(), 'egress-'));
  const told: string[] = [];
  const second = { onStart: () => void told.push('start'), onEnd: () => void told.push('end') };
  const other = await bench.gateway.open({ ...bindingAt(directory), observer: second });
  await (await ask(path.join(directory, 'gateway.sock'), WIRE_REQUESTS.anthropic('hi'))).text();
  assert.deepEqual([told, bench.starts.length], [['start', 'end'], 0]);
  await other.close();
  assert.equal((await ask(bench.socketPath, WIRE_REQUESTS.anthropic('hi'))).status, 200);
  await rm(directory, { recursive: true });
});

test('nothing secret is ever logged', async () => {
  const file = path.join(await mkdtemp(path.join(tmpdir(), 'egress-')), 'log');
  const log = createLogger({ level: 'trace', format: 'json', file });
  await using bench = await openBench({ log });
  for (const said of ['hi', '[[error 401]]', '[[error 500]]', '[[cut]]']) {
    const reply = await ask(bench.socketPath, { ...WIRE_REQUESTS.anthropic(said), headers: { 'x-api-key': 'placeholder-of-the-sandbox' } });
    await reply.text().catch(() => undefined);
  }
  await ask(bench.socketPath, { path: '/anthropic/v1/files' });
  const { readFileSync } = await import('node:fs');
  const lines = readFileSync(file, 'utf8');
  assert.match(lines, /model_authentication_failed/);
  assert.doesNotMatch(lines, new RegExp(`${KEY}|placeholder-of-the-sandbox`));
  await rm(path.dirname(file), { recursive: true });
});

test('a subscription token goes with the beta name it needs', async () => {
  const providers = new Map(providersAt('http://127.0.0.1:1'));
  await using bench = await openBench();
  const value = 'Bearer sk-ant-oat01-x';
  providers.set('anthropic', { baseUrl: bench.model.url, auth: { header: 'authorization', value } });
  const directory = await mkdtemp(path.join(tmpdir(), 'egress-'));
  const gateway = createEgressGateway({ providers, modelIdleMs: 1_000, audit, clock: systemClock, log: silentLogger });
  await gateway.open(bindingAt(directory));
  await ask(path.join(directory, 'gateway.sock'), { ...WIRE_REQUESTS.anthropic('hi'), headers: { 'anthropic-beta': 'one' } });
  const headers = bench.model.requests().at(-1)?.headers;
  assert.deepEqual([headers?.authorization, headers?.['anthropic-beta']], [value, 'one,oauth-2025-04-20']);
  await gateway.close();
  await rm(directory, { recursive: true });
});

test("a sandbox that is no session's yet reaches nothing; once it is one's, it does", async () => {
  await using bench = await openBench();
  const directory = await mkdtemp(path.join(tmpdir(), 'egress-'));
  const socketPath = path.join(directory, 'gateway.sock');
  const binding = { ...bindingAt(directory), sessionId: undefined, network: { allowedHosts: ['tools.example'] } };
  const connection = await bench.gateway.open(binding);
  // Agents look for the gateway before they are ready.
  assert.equal((await ask(socketPath, { method: 'HEAD', path: '/anthropic/api/hello' })).status, 200);
  const refused = await ask(socketPath, WIRE_REQUESTS.anthropic('hi'));
  assert.equal(refused.status, 403);
  assert.match(await refused.text(), /no session yet/);
  const plain = await ask(socketPath, { method: 'GET', path: 'http://tools.example/' });
  assert.equal(plain.status, 403);
  assert.match(await plain.text(), /no session yet/);
  await connection.assign('ses_1');
  const answered = await ask(socketPath, WIRE_REQUESTS.anthropic('hi'));
  assert.equal(answered.status, 200);
  await answered.text();
  await connection.close();
  await rm(directory, { recursive: true });
});
