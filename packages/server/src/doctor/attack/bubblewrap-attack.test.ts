import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../base/clock.ts';
import { newId } from '../../base/ids.ts';
import { silentLogger } from '../../base/log.ts';
import { createEgressGateway } from '../../egress/egress-gateway.ts';
import { createUnkeptAudit } from '../../egress/unkept-audit.ts';
import { createBubblewrapDriver } from '../../runtime/bubblewrap/driver.ts';
import { bubblewrapMissing, testDirectory } from '../../runtime/bubblewrap/test-host.ts';
import { exceptionsOf } from './exceptions.ts';
import { runAttack } from './run.ts';

const directory = testDirectory();
const options = { stateDirectory: path.join(directory.path, 'state') };
const skip = await bubblewrapMissing(options);

test('bubblewrap: every attack on a sandbox is refused', { skip, timeout: 180_000 }, async () => {
  const driver = createBubblewrapDriver({ ...options, log: silentLogger });
  const audit = createUnkeptAudit();
  const gateway = createEgressGateway({ providers: new Map(), modelIdleMs: 1000, clock: systemClock, log: silentLogger, audit });
  try {
    const dataDir = path.join(directory.path, 'data');
    mkdirSync(dataDir);
    const secrets = ['sk-doctor-secret-0123456789'];
    const deps = { driver, gateway, clock: systemClock, dataDir, image: 'none', nodeId: newId('node'), secrets };
    const results = await runAttack(deps, () => undefined);
    assert.deepEqual(
      results.filter(({ state }) => state === 'open' || state === 'untried'),
      [],
    );
    const known = results.filter(({ state }) => state === 'known').map(({ id }) => id);
    assert.deepEqual(new Set(known), new Set(exceptionsOf('bubblewrap', '0').keys()));
    assert.ok(results.length >= 35, `${results.length} attacks`);
  } finally {
    await gateway.close();
    await driver.close();
    directory.remove();
  }
});
