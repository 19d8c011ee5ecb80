import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { silentLogger } from '../../base/log.ts';
import { type BubblewrapOptions, createBubblewrapDriver } from './driver.ts';

/** A state directory for one test file, to be removed after it. */
export function testDirectory(): { readonly path: string; remove(): void } {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'cloister-bubblewrap-'));
  return { path: directory, remove: () => rmSync(directory, { recursive: true, force: true }) };
}

/** Why bubblewrap cannot be tested here; false when it can. */
export async function bubblewrapMissing(options: Omit<BubblewrapOptions, 'log'>): Promise<string | false> {
  const driver = createBubblewrapDriver({ ...options, log: silentLogger });
  const probe = await driver.probe();
  await driver.close();
  return probe.ok ? false : `no bubblewrap: ${probe.detail}`;
}
