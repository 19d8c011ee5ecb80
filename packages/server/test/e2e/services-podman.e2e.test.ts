import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { findPodman } from '../../src/runtime/docker/conformance-podman.ts';
import { servicesSuite } from './services-suite.ts';

/** One of the programs by which Podman makes networks. */
const NETWORK_PROGRAMS = ['/usr/lib/cni/bridge', '/usr/lib/podman/netavark', '/usr/libexec/podman/netavark'];
const podman = await findPodman();
const missing = !podman.ok ? podman.reason : NETWORK_PROGRAMS.some((file) => existsSync(file)) ? undefined : 'Podman can make no networks';

if (podman.ok && missing === undefined)
  servicesSuite({
    name: 'services on Podman',
    ports: '19550-19599',
    async around() {
      const service = await podman.start();
      return {
        env: { CLOISTER_RUNTIME: 'podman', DOCKER_HOST: service.endpoint },
        endpoint: service.endpoint,
        close: async () => service[Symbol.asyncDispose](),
      };
    },
  });
else test('services on Podman', { skip: missing ?? true }, () => undefined);
