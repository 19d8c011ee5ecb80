import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { silentLogger } from '../base/log.ts';
import { posixCommand, runtimeConformance } from '../runtime/conformance.ts';
import { createDockerDriver } from '../runtime/docker/driver.ts';
import { testEngine } from '../runtime/docker/test-engine.ts';
import { type Broker, startBroker } from './broker.ts';
import { testPolicy } from './test-broker.ts';

const engine = await testEngine();
const NAME = 'docker through the socket broker';

/** What takes long and goes by the broker like the rest: the engine's own limits, and all of a stream but its ends. */
const TRIED_ON_THE_ENGINE = /limit|bites|abort|one by one|paused|graces?,|stopped and the missing|at the first byte|1\d\d/;

if (engine.ok)
  describe('the socket broker', () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'cloister-broker-'));
    const socketPath = path.join(folder, 'engine.sock');
    let broker: Broker;
    before(async () => {
      broker = await startBroker({
        socketPath,
        pinFile: path.join(folder, 'installation'),
        engine: {},
        hostDataDir: undefined,
        // The suite's mounts lie in directories of their own below it.
        policy: testPolicy({ dataDir: tmpdir() }),
        log: silentLogger,
      });
    });
    runtimeConformance({
      name: NAME,
      createDriver: () => createDockerDriver({ endpoint: `unix://${socketPath}`, log: silentLogger }),
      command: posixCommand,
      image: engine.image,
      only: (title) => !TRIED_ON_THE_ENGINE.test(title),
    });
    after(async () => {
      await broker.close();
      rmSync(folder, { recursive: true });
    });
  });
else test(`runtime driver: ${NAME}`, { skip: engine.reason }, () => undefined);
