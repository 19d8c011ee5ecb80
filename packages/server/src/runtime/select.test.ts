import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPlatformError } from '../base/errors.ts';
import { silentLogger } from '../base/log.ts';
import { selectRuntime } from './select.ts';

const nowhere = { dockerHost: 'unix:///nowhere/engine.sock', log: silentLogger };

test('without an engine the start fails with one thing to do, and never falls back to the fake', async () => {
  for (const choice of ['auto', 'docker'] as const) {
    await assert.rejects(
      selectRuntime({ choice, ...nowhere }),
      (error) => isPlatformError(error, 'runtime_unreachable') && /nowhere\/engine\.sock.*Docker/.test(error.detail),
    );
  }
});

test('the fake has to be asked for, and says that it isolates nothing', async () => {
  const driver = await selectRuntime({ choice: 'fake', ...nowhere });
  assert.equal(driver.capabilities.isIsolated, false);
});
