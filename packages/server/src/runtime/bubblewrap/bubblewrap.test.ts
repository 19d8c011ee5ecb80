import { after, test } from 'node:test';
import { silentLogger } from '../../base/log.ts';
import { posixCommand, runtimeConformance } from '../conformance.ts';
import { createBubblewrapDriver } from './driver.ts';
import { bubblewrapMissing, testDirectory } from './test-host.ts';

const directory = testDirectory();
after(() => directory.remove());
const missing = await bubblewrapMissing({ stateDirectory: directory.path });

if (missing === false)
  runtimeConformance({
    name: 'bubblewrap',
    createDriver: () => createBubblewrapDriver({ stateDirectory: directory.path, log: silentLogger }),
    command: posixCommand,
  });
else test('runtime driver: bubblewrap', { skip: missing }, () => undefined);
