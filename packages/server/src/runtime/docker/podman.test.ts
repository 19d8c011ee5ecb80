import { after, test } from 'node:test';
import { silentLogger } from '../../base/log.ts';
import { posixCommand, runtimeConformance } from '../conformance.ts';
import { findPodman } from './conformance-podman.ts';
import { createDockerDriver } from './driver.ts';

const podman = await findPodman();

if (podman.ok) {
  const service = await podman.start();
  runtimeConformance({
    name: 'podman',
    createDriver: () => createDockerDriver({ kind: 'podman', endpoint: service.endpoint, log: silentLogger }),
    command: posixCommand,
    image: service.image,
  });
  after(() => service[Symbol.asyncDispose]());
} else test('runtime driver: podman', { skip: podman.reason }, () => undefined);
