import assert from 'node:assert/strict';
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
  test('podman: there are no services, since their networks could not be closed', async () => {
    // Who answers at a socket is not known before it was asked.
    const driver = createDockerDriver({ endpoint: service.endpoint, log: silentLogger });
    assert.ok((await driver.probe()).ok);
    assert.deepEqual([driver.name, driver.services], ['podman', undefined]);
    await driver.close();
  });
  after(() => service[Symbol.asyncDispose]());
} else test('runtime driver: podman', { skip: podman.reason }, () => undefined);
