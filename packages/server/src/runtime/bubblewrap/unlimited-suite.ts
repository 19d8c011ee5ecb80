// The positive control of the laws on limits: real sandboxes that claim limits and have none. Run as a program of its
// own by `walls.test.ts`; the suite must fail.
import { silentLogger } from '../../base/log.ts';
import { posixCommand, runtimeConformance } from '../conformance.ts';
import { createBubblewrapDriver } from './driver.ts';

const [stateDirectory] = process.argv.slice(2);
if (stateDirectory !== undefined)
  runtimeConformance({
    name: 'bubblewrap that ignores limits',
    skips: {},
    createDriver() {
      const driver = createBubblewrapDriver({ stateDirectory, log: silentLogger, limits: null });
      return { ...driver, capabilities: { ...driver.capabilities, supportsLimits: true } };
    },
    command: posixCommand,
  });
