import { test } from 'node:test';
import { silentLogger } from '../../base/log.ts';
import { posixCommand, runtimeConformance } from '../conformance.ts';
import { createDockerDriver } from './driver.ts';
import { testEngine } from './test-engine.ts';

const engine = await testEngine();

if (engine.ok)
  runtimeConformance({
    name: 'docker',
    createDriver: () => createDockerDriver({ log: silentLogger }),
    command: posixCommand,
    image: engine.image,
  });
else test('runtime driver: docker', { skip: engine.reason }, () => undefined);
