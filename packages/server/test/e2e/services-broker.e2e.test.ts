import { mkdtemp, realpath, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { silentLogger } from '../../src/base/log.ts';
import { startBroker } from '../../src/broker/broker.ts';
import { testPolicy } from '../../src/broker/test-broker.ts';
import { servicesSuite } from './services-suite.ts';

servicesSuite({
  name: 'services through the socket broker',
  ports: '19500-19549',
  without: /server is dead/,
  async around() {
    const folder = await realpath(await mkdtemp(path.join(os.tmpdir(), 'cloister-brokered-')));
    const dataDir = path.join(folder, 'data');
    const socketPath = path.join(folder, 'engine.sock');
    const broker = await startBroker({
      socketPath,
      pinFile: path.join(folder, 'installation'),
      engine: {},
      hostDataDir: undefined,
      policy: testPolicy({ dataDir, ports: { first: 19_500, last: 19_549 } }),
      log: silentLogger,
    });
    return {
      env: { DOCKER_HOST: `unix://${socketPath}`, DATA_DIR: dataDir },
      async close() {
        await broker.close();
        await rm(folder, { recursive: true, force: true });
      },
    };
  },
});
