import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import type { KeyVerdict } from '../egress/gateway.ts';
import { createFakeDriver } from '../runtime/fake/driver.ts';
import { type CheckDeps, checkInstallation } from './checks.ts';

const verdict = (result: KeyVerdict['result']): KeyVerdict => ({ result, status: null, message: result, models: [] });

async function setUp(): Promise<
  AsyncDisposable & { readonly dataDir: string; readonly look: (changes?: Partial<CheckDeps>) => Promise<Record<string, string>> }
> {
  const dataDir = await mkdtemp(path.join(os.tmpdir(), 'cloister-doctor-'));
  const runtime = {
    ...createFakeDriver({ programs: {} }),
    capabilities: { isIsolated: true, supportsLimits: true, usesImages: true, isolationClass: 'container' as const },
  };
  const deps: CheckDeps = {
    runtime: { ...runtime, hasImage: async (image) => image === 'there' },
    images: ['there'],
    dataDir,
    hasConfiguredKey: false,
    providers: new Map([['anthropic', { baseUrl: 'http://127.0.0.1:1', auth: undefined }]]),
    checkKey: async () => verdict('ok'),
    listen: { host: '127.0.0.1', port: 0 },
    socket: undefined,
    notes: [],
    database: async () => ({ place: 'cloister.db', pending: [] }),
    clock: systemClock,
  };
  const look = async (changes: Partial<CheckDeps> = {}) => {
    const findings = await checkInstallation({ ...deps, ...changes });
    assert.deepEqual(
      findings.filter(({ status, fix }) => (status === 'ok') !== (fix === undefined)),
      [],
      'a fix for all that is not ok',
    );
    return Object.fromEntries(findings.map(({ name, status }) => [name, status]));
  };
  return { dataDir, look, [Symbol.asyncDispose]: () => rm(dataDir, { recursive: true }) };
}

test('the doctor tells what is well from what is not, each with a fix', async () => {
  await using place = await setUp();
  const { dataDir, look } = place;
  await writeFile(path.join(dataDir, 'admin.key'), 'x', { mode: 0o600 });
  const well = await look();
  const { disk, ...rest } = well;
  assert.ok(disk === 'ok' || disk === 'warn');
  assert.deepEqual(rest, {
    settings: 'ok',
    engine: 'ok',
    image: 'ok',
    data: 'ok',
    database: 'ok',
    clock: 'ok',
    key: 'ok',
    port: 'ok',
    model: 'ok',
  });
  assert.equal((await look({ images: ['missing'] })).image, 'fail');
  assert.equal((await look({ providers: new Map() })).model, 'warn');
  assert.equal((await look({ checkKey: async () => verdict('invalid') })).model, 'fail');
  assert.equal((await look({ checkKey: async () => verdict('unreachable') })).model, 'warn');
  assert.equal((await look({ notes: ['there is no setting CLOISTER_MODLE'] })).settings, 'warn');
  assert.equal((await look({ database: async () => ({ place: 'x', pending: ['queue'] }) })).database, 'warn');
  assert.equal((await look({ database: () => Promise.reject(new PlatformError('store_unavailable')) })).database, 'fail');
  assert.equal((await look({ runtime: new PlatformError('runtime_unreachable') })).engine, 'fail');
  assert.equal((await look({ clock: { ...systemClock, now: () => 0 } })).clock, 'fail');
  await chmod(path.join(dataDir, 'admin.key'), 0o644);
  assert.equal((await look()).key, 'fail');
  await chmod(dataDir, 0o755);
  assert.equal((await look()).data, 'warn');
  assert.equal((await look({ dataDir: path.join(dataDir, 'none') })).data, 'warn');
});

test('the doctor tells whether the port and the socket can be used', async () => {
  await using place = await setUp();
  const { dataDir, look } = place;
  const [alien, own] = [
    createServer((_, response) => response.end('hello')),
    createServer((_, response) => response.end('{"status":"healthy"}')),
  ];
  try {
    const listening = async (server: Server): Promise<{ host: string; port: number }> => {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      return { host: '127.0.0.1', port };
    };
    assert.equal((await look({ listen: await listening(alien) })).port, 'fail');
    assert.equal((await look({ listen: await listening(own) })).port, 'ok');
  } finally {
    alien.close();
    own.close();
  }
  const socket = path.join(dataDir, 'engine.sock');
  assert.equal((await look({ socket })).socket, 'fail');
  await writeFile(socket, '');
  assert.equal((await look({ socket })).socket, 'fail');
  await rm(socket);
  const engine = createServer().listen(socket);
  try {
    await once(engine, 'listening');
    await chmod(socket, 0o600);
    assert.equal((await look({ socket })).socket, 'ok');
    await chmod(socket, 0o666);
    assert.equal((await look({ socket })).socket, 'fail');
  } finally {
    engine.close();
  }
});
