import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { silentLogger } from '../../base/log.ts';
import { posixCommand, runtimeConformance } from '../conformance.ts';
import { createBubblewrapDriver } from './driver.ts';

const stateDirectory = mkdtempSync(path.join(os.tmpdir(), 'cloister-bubblewrap-'));
after(() => rmSync(stateDirectory, { recursive: true, force: true }));

const trial = createBubblewrapDriver({ stateDirectory, log: silentLogger });
const probe = await trial.probe();
await trial.close();

if (probe.ok)
  runtimeConformance({
    name: 'bubblewrap',
    createDriver: () => createBubblewrapDriver({ stateDirectory, log: silentLogger }),
    command: posixCommand,
  });
else test('runtime driver: bubblewrap', { skip: `no bubblewrap: ${probe.detail}` }, () => undefined);
