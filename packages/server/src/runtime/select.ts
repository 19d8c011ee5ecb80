import { PlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { createDockerDriver } from './docker/driver.ts';
import type { RuntimeDriver } from './driver.ts';
import { createFakeDriver } from './fake/driver.ts';
import type { FakeProgram } from './fake/process.ts';

export interface RuntimeSelection {
  readonly choice: 'auto' | 'docker' | 'fake';
  readonly dockerHost?: string | undefined;
  readonly runtimeDir?: string | undefined;
  readonly log: Logger;
  /** What can run on the fake runtime. */
  readonly fakePrograms?: Readonly<Record<string, FakeProgram>>;
}

/**
 * Makes the chosen driver and sees that its engine answers. `auto` takes the strongest that works; the fake
 * is never among them, since it isolates nothing: it has to be asked for by name.
 * Throws `runtime_unreachable` with what is wrong and one thing to do.
 */
export async function selectRuntime(selection: RuntimeSelection): Promise<RuntimeDriver> {
  const { choice, log } = selection;
  if (choice === 'fake') {
    log.warn('the fake runtime is in use: nothing that runs is isolated');
    return createFakeDriver({ programs: selection.fakePrograms ?? {} });
  }
  const driver = createDockerDriver({ endpoint: selection.dockerHost, runtimeDir: selection.runtimeDir, log });
  const probe = await driver.probe();
  if (probe.ok) {
    log.info({ runtime: driver.name, engine: probe.detail }, 'runtime chosen');
    return driver;
  }
  await driver.close();
  throw new PlatformError('runtime_unreachable', { detail: `${probe.detail} ${probe.fix}` });
}
