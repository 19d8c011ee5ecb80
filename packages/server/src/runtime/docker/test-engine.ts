import { silentLogger } from '../../base/log.ts';
import { createDockerDriver } from './driver.ts';

const IMAGE = 'node:24-bookworm-slim';

/** Whether tests against a real engine can run here, and why not. */
export async function testEngine(): Promise<
  { readonly ok: true; readonly image: string } | { readonly ok: false; readonly reason: string }
> {
  const driver = createDockerDriver({ log: silentLogger });
  try {
    const probe = await driver.probe();
    if (!probe.ok) return { ok: false, reason: `no container engine: ${probe.detail}` };
    if (!(await driver.hasImage(IMAGE))) return { ok: false, reason: `the engine has no image ${IMAGE}` };
    return { ok: true, image: IMAGE };
  } finally {
    await driver.close();
  }
}
