import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { engineMissing } from '../../test/support/engine.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { systemClock } from '../base/clock.ts';
import { newId } from '../base/ids.ts';
import { silentLogger } from '../base/log.ts';
import type { EgressGateway } from '../egress/gateway.ts';
import { builtinHarness } from '../harness/builtin.ts';
import type { Harness } from '../harness/harness.ts';
import { createDockerDriver, type DockerDriver } from '../runtime/docker/driver.ts';
import { sandboxImageTag } from '../runtime/image.ts';
import { createReconciler, type Reconciler } from '../runtime/reconciler.ts';
import { type OpenSandboxInput, openSandbox } from './open-sandbox.ts';
import { createStarting } from './starting.ts';

const MS = 60_000;
const missing = await engineMissing();
const docker = (...args: string[]) => execFileSync('docker', args, { encoding: 'utf8' }).trim();

/** The built-in agent, which begins only when it is told to. */
const slowHarness: Harness = {
  ...builtinHarness,
  launch(options) {
    const { argv, env } = builtinHarness.launch(options);
    return { argv: ['sh', '-c', `until test -e /workspace/go; do sleep 0.1; done; exec ${argv.join(' ')}`], env };
  },
};
// Nothing is asked of a model or of a host here.
const nothing = () => undefined;
const gateway: EgressGateway = {
  open: async () => ({ beginTurn: nothing, abortModelCalls: nothing, assign: async () => undefined, close: async () => undefined }),
  close: async () => undefined,
};

describe('a sandbox on its way', { skip: missing, timeout: 180_000 }, () => {
  const installation = newId('installation');
  const starting = createStarting();
  let dataDir: string;
  let driver: DockerDriver;
  let reconciler: Reconciler;

  before(async () => {
    dataDir = await realpath(await mkdtemp(path.join(tmpdir(), 'cloister-starting-')));
    driver = createDockerDriver({ log: silentLogger });
    const { desired } = starting;
    reconciler = createReconciler({ driver, installation, clock: systemClock, log: silentLogger, isOwned: () => true, desired });
    await reconciler.start();
  });
  after(async () => {
    await reconciler.stop();
    for (const { ref } of await driver.list({ installation })) await driver.remove(ref);
    await driver.close();
    await rm(dataDir, { recursive: true, force: true });
  });

  /** A start that goes no further than its container before `go` is there. */
  async function begin() {
    const id = newId('session');
    const session = { id, tenantId: 't', agentId: 'a', environmentId: 'e', environment: {}, harnessSessionId: null };
    // No agent is asked here, so there is nothing to rule.
    const options: OpenSandboxInput['options'] = {
      provider: 'demo',
      model: 'demo',
      system: null,
      effort: null,
      tools: { fallback: { enabled: true, policy: 'allow' }, byName: new Map() } as never,
    };
    const sandboxId = newId('sandbox');
    const opening = openSandbox(
      {
        driver,
        gateway,
        clock: systemClock,
        log: silentLogger,
        installation,
        nodeId: newId('node'),
        dataDir,
        startTimeoutMs: MS,
        imageFor: () => sandboxImageTag('default'),
        starting,
      },
      { sandboxId, session, harness: slowHarness, options, signal: new AbortController().signal },
    );
    opening.catch(() => undefined); // told where it is awaited
    const container = await waitFor(
      async () => {
        const seen = (await driver.list({ installation })).find(({ ref }) => ref.sandbox === sandboxId);
        return seen?.state === 'running' ? seen.ref.handle : undefined;
      },
      { timeoutMs: MS, what: 'its container to run' },
    );
    return { opening, container, go: () => writeFile(path.join(dataDir, 'sessions', id, 'workspace', 'go'), '') };
  }

  it('that somebody pauses is resumed, and becomes ready', async () => {
    const { opening, container, go } = await begin();
    docker('pause', container);
    await waitFor(() => docker('inspect', '-f', '{{.State.Status}}', container) === 'running', { timeoutMs: MS, what: 'it to be resumed' });
    await go();
    const sandbox = await opening;
    assert.equal(reconciler.report().resumed, 1);
    assert.deepEqual(starting.desired(), [], 'who has it looks after it from now on');
    await sandbox.close();
  });

  it('that somebody removes fails at once, with the reason', async () => {
    const { opening, container } = await begin();
    docker('rm', '--force', container);
    await assert.rejects(opening, { code: 'sandbox_exited', detail: /removed from outside/ });
    assert.deepEqual(starting.desired(), []);
  });
});
