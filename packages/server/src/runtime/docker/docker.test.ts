import { test } from 'node:test';
import { silentLogger } from '../../base/log.ts';
import { posixCommand, runtimeConformance } from '../conformance.ts';
import { createDockerDriver } from './driver.ts';
import { testEngine } from './test-engine.ts';

const engine = await testEngine();

if (engine.ok)
  runtimeConformance({
    name: 'docker',
    // As servers have it: some sandboxes are put into a network that is ready, the others get one of their own.
    createDriver: () => createDockerDriver({ log: silentLogger, networkHolders: { size: 1, image: engine.image } }),
    command: posixCommand,
    image: engine.image,
  });
else test('runtime driver: docker', { skip: engine.reason }, () => undefined);
