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
  test('podman: is known by its answer, and is the same host at every question', async () => {
    const driver = createDockerDriver({ endpoint: service.endpoint, log: silentLogger });
    assert.ok((await driver.probe()).ok);
    assert.equal(driver.name, 'podman');
    // The id that this engine tells of itself is a new one each time.
    assert.equal(await driver.services?.hostId(), await driver.services?.hostId());
    await driver.close();
  });
  after(() => service[Symbol.asyncDispose]());
} else test('runtime driver: podman', { skip: podman.reason }, () => undefined);
