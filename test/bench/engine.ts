import { silentLogger } from '../../packages/server/src/base/log.ts';
import { createDockerDriver } from '../../packages/server/src/runtime/docker/driver.ts';

/** Why rows that need a container engine cannot be measured here; false when they can. */
export async function engineMissing(): Promise<string | false> {
  const driver = createDockerDriver({ log: silentLogger });
  const probe = await driver.probe();
  await driver.close();
  return probe.ok ? false : `needs a container engine: ${probe.detail}`;
}
