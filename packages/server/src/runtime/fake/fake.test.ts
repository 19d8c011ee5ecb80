import { systemClock } from '../../base/clock.ts';
import { runtimeConformance } from '../conformance.ts';
import { conformancePrograms, fakeCommand } from './conformance-programs.ts';
import { createFakeDriver } from './driver.ts';
import { createFakeEngine } from './engine.ts';

const engine = createFakeEngine(systemClock);

runtimeConformance({
  name: 'fake',
  createDriver: () => createFakeDriver({ engine, programs: conformancePrograms }),
  command: fakeCommand,
});
