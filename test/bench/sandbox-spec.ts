import { newId } from '../../packages/server/src/base/ids.ts';
import type { SandboxSpec } from '../../packages/server/src/runtime/driver.ts';

/** A sandbox as sessions have it, without their files. */
export function sandboxSpec({ image, argv }: Pick<SandboxSpec, 'image' | 'argv'>): SandboxSpec {
  const names = { sandbox: newId('sandbox'), node: newId('node'), incarnation: newId('incarnation') };
  return {
    labels: { installation: 'bench', tenant: 'bench', agent: 'bench', session: 'bench', ...names },
    image,
    argv,
    env: {},
    cwd: '/workspace',
    uid: 1000,
    gid: 1000,
    memoryBytes: 1024 ** 3,
    cpus: 1,
    pids: 256,
    mounts: [],
    tmpBytes: 64 * 1024 ** 2,
  };
}
