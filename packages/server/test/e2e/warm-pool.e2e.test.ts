import assert from 'node:assert/strict';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { createClient } from '@cloister/api';
import { silentLogger } from '../../src/base/log.ts';
import { startBroker } from '../../src/broker/broker.ts';
import { testPolicy } from '../../src/broker/test-broker.ts';
import { bubblewrapMissing, testDirectory } from '../../src/runtime/bubblewrap/test-host.ts';
import { findPodman } from '../../src/runtime/docker/conformance-podman.ts';
import { sandboxImageTag } from '../../src/runtime/image.ts';
import { engineMissing } from '../support/engine.ts';
import { ADMIN_KEY, startServerProcess } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

const MS = 120_000;

interface Surroundings extends AsyncDisposable {
  readonly env: Readonly<Record<string, string>>;
}

const noDocker = await engineMissing();
const podman = await findPodman();
const trial = testDirectory();
const noBubblewrap = await bubblewrapMissing({ stateDirectory: trial.path });
trial.remove();

const nothingElse = async () => undefined;

const RUNTIMES: readonly { readonly name: string; readonly skip: string | false; readonly open: () => Promise<Surroundings> }[] = [
  {
    name: 'Docker',
    skip: noDocker,
    open: async () => ({ env: { CLOISTER_RUNTIME: 'docker' }, [Symbol.asyncDispose]: nothingElse }),
  },
  { name: 'Docker through the socket broker', skip: noDocker, open: openBroker },
  { name: 'Podman', skip: podman.ok ? noDocker : podman.reason, open: openPodman },
  {
    name: 'bubblewrap',
    skip: noBubblewrap,
    open: async () => ({ env: { CLOISTER_RUNTIME: 'bubblewrap' }, [Symbol.asyncDispose]: nothingElse }),
  },
];

async function openBroker(): Promise<Surroundings> {
  const folder = await realpath(await mkdtemp(path.join(os.tmpdir(), 'cloister-brokered-')));
  const socketPath = path.join(folder, 'engine.sock');
  const dataDir = path.join(folder, 'data');
  const broker = await startBroker({
    socketPath,
    pinFile: undefined,
    engine: {},
    hostDataDir: undefined,
    policy: testPolicy({ dataDir }),
    log: silentLogger,
  });
  return {
    env: { CLOISTER_RUNTIME: 'docker', DOCKER_HOST: `unix://${socketPath}`, DATA_DIR: dataDir },
    async [Symbol.asyncDispose]() {
      await broker.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function openPodman(): Promise<Surroundings> {
  assert.ok(podman.ok);
  const service = await podman.start(sandboxImageTag('default'));
  return {
    env: { CLOISTER_RUNTIME: 'podman', DOCKER_HOST: service.endpoint, CLOISTER_SANDBOX_IMAGE: service.image },
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  };
}

describe('the warm pool', { timeout: 600_000 }, () => {
  for (const { name, skip, open } of RUNTIMES)
    it(`gives a new session what stood ready, and tells of it, on ${name}`, { skip }, async () => {
      await using around = await open();
      await using server = await startServerProcess({ env: { WARM_POOL_MAX: '1', PRESTART_SANDBOXES: 'false', ...around.env } });
      const client = createClient({ url: server.url, key: ADMIN_KEY });
      const agent = (await client.agents.list()).data[0]?.id ?? '';
      const environment = await client.environments.create({ name: 'pooled', config: { type: 'container', warm: 1 } });
      const say = async (text: string) => {
        const { id } = await client.sessions.create({ agent, environment_id: environment.id });
        const { turn, events } = await client.events.send(id, [{ type: 'user.message', content: text }], { wait: 60 });
        assert.equal(turn?.outcome, 'completed', JSON.stringify(turn));
        return { id, stages: turn.stages ?? {}, events };
      };
      const before = await client.status();
      assert.deepEqual([before.capabilities.warm_pool, before.warm_pool], [true, { max: 1, reason: null, environments: [] }]);
      assert.ok((await say('run true')).stages.create !== undefined, 'there was none yet');
      const untilReady = (claimed: number) =>
        waitFor(async () => (await client.status()).warm_pool.environments.find((one) => one.ready === 1 && one.claimed === claimed), {
          timeoutMs: MS,
          what: 'one to stand ready',
        });
      const ready = { environment_id: environment.id, agent_id: agent, wanted: 1, ready: 1, warming: 0, claimed: 0 };
      assert.deepEqual(await untilReady(0), ready);
      const given = await say('run echo mine > note.txt && cat note.txt');
      assert.ok(given.stages.handover !== undefined && given.stages.create === undefined, JSON.stringify(given.stages));
      assert.match(JSON.stringify(given.events), /mine/);
      const file = await fetch(`${server.url}/v1/sessions/${given.id}/files/content?path=note.txt`, {
        headers: { 'x-api-key': ADMIN_KEY },
      });
      assert.equal(await file.text(), 'mine\n', 'in its own files');
      assert.deepEqual(await untilReady(1), { ...ready, claimed: 1 });
    });
});
