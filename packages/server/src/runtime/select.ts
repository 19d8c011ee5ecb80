import { PlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { createDockerDriver } from './docker/driver.ts';
import type { RuntimeDriver } from './driver.ts';
import { createFakeDriver } from './fake/driver.ts';
import type { FakeProgram } from './fake/process.ts';

export interface SelectRuntimeInput {
  readonly choice: 'auto' | 'docker' | 'fake';
  readonly dockerHost?: string | undefined;
  readonly runtimeDir?: string | undefined;
  readonly log: Logger;
  /** What the fake runtime can run. */
  readonly fakePrograms: Readonly<Record<string, FakeProgram>>;
}

/**
 * The runtime that was asked for, or with `auto` the strongest that works. Throws `runtime_unreachable` with one
 * instruction when there is none: an agent never runs unconfined, so the fake has to be asked for by name.
 */
export async function selectRuntime(input: SelectRuntimeInput): Promise<RuntimeDriver> {
  if (input.choice === 'fake') return createFakeDriver({ programs: input.fakePrograms });
  const driver = createDockerDriver({ endpoint: input.dockerHost, runtimeDir: input.runtimeDir, log: input.log });
  const probe = await driver.probe();
  if (probe.ok) return driver;
  await driver.close();
  throw new PlatformError('runtime_unreachable', { detail: `No container engine can be used: ${probe.detail} ${probe.fix}` });
}
