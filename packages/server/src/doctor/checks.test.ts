import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { createFakeDriver } from '../runtime/fake/driver.ts';
import { type CheckDeps, checkInstallation } from './checks.ts';

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
    isDemo: false,
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
  assert.deepEqual(rest, { engine: 'ok', image: 'ok', data: 'ok', database: 'ok', clock: 'ok', key: 'ok', model: 'ok' });
  assert.equal((await look({ images: ['missing'] })).image, 'fail');
  assert.equal((await look({ isDemo: true })).model, 'warn');
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
