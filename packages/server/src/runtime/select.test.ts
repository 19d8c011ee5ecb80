import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { isPlatformError } from '../base/errors.ts';
import { silentLogger } from '../base/log.ts';
import { type Answer, answerJson, type ScriptedEngine, startScriptedEngine } from './docker/scripted-engine.ts';
import { selectRuntime } from './select.ts';

const nowhere = { dockerHost: 'unix:///nowhere/engine.sock', log: silentLogger };
const unreachableWith = (words: RegExp) => (error: unknown) => isPlatformError(error, 'runtime_unreachable') && words.test(error.detail);

test('without the engine that is named the start fails with one thing to do, and never falls back to the fake', async () => {
  for (const choice of ['auto', 'docker', 'podman'] as const) {
    const words = choice === 'podman' ? /nowhere\/engine\.sock.*Podman/ : /nowhere\/engine\.sock.*Docker/;
    await assert.rejects(selectRuntime({ choice, ...nowhere }), unreachableWith(words));
  }
});

test('the fake has to be asked for, and says that it isolates nothing', async () => {
  const { driver } = await selectRuntime({ choice: 'fake', ...nowhere });
  assert.equal(driver.capabilities.isIsolated, false);
});

test('auto takes Docker before Podman, and says why', async () => {
  await using docker = await startScriptedEngine({ answer: about('Docker Engine') });
  await using podman = await startScriptedEngine({ server: 'a proxy', answer: about('Podman Engine') });
  const both = { docker: [socketOf(docker)], podman: [socketOf(podman)] };

  const first = await selectRuntime({ choice: 'auto', sockets: both, log: silentLogger });
  assert.equal(first.driver.name, 'docker');
  assert.match(first.reason, /^the first choice: /);
  await first.driver.close();

  const second = await selectRuntime({ choice: 'auto', sockets: { ...both, docker: ['/nowhere/docker.sock'] }, log: silentLogger });
  assert.equal(second.driver.name, 'podman');
  assert.match(second.reason, /Docker would go before: There is no container engine socket at unix:\/\/\/nowhere\/docker\.sock/);
  assert.equal(second.engine?.kind, 'podman');
  await second.driver.close();
});

test('what is no Podman is not taken for it', async () => {
  await using docker = await startScriptedEngine({ answer: about('Docker Engine') });
  const asked = { choice: 'podman', dockerHost: docker.endpoint, log: silentLogger } as const;
  await assert.rejects(selectRuntime(asked), unreachableWith(/is not Podman.*CLOISTER_RUNTIME=docker/));
});

test('bubblewrap comes last, and with nothing at all there is one instruction', async () => {
  const sockets = { docker: ['/nowhere/docker.sock'], podman: ['/nowhere/podman.sock'] };
  await assert.rejects(
    selectRuntime({ choice: 'auto', sockets, log: silentLogger }),
    unreachableWith(/never run unconfined\. Install Docker.*Tried were Docker: .*nowhere\/docker\.sock.*Podman: .*nowhere\/podman\.sock/),
  );
  const stateDirectory = mkdtempSync(path.join(tmpdir(), 'cloister-select-'));
  try {
    const bubblewrap = { stateDirectory, programs: {} };
    const outcome = await selectRuntime({ choice: 'auto', sockets, bubblewrap, log: silentLogger }).catch((error: unknown) => error);
    // Where bubblewrap cannot run either, it is among what was tried.
    if (outcome instanceof Error) return assert.ok(unreachableWith(/never run unconfined.*bubblewrap: /)(outcome), outcome.message);
    const { driver, reason, engine } = outcome as Awaited<ReturnType<typeof selectRuntime>>; // what is no error was selected
    assert.equal(driver.capabilities.isolationClass, 'weaker');
    assert.match(reason, /Docker would go before: .*Podman would go before: /);
    assert.equal(engine, undefined);
    await driver.close();
  } finally {
    rmSync(stateDirectory, { recursive: true, force: true });
  }
});

function about(component: string): Answer {
  return (request, response) => {
    if (request.url?.endsWith('/version')) answerJson(response, 200, { Version: '4.3.1', Components: [{ Name: component }] });
    else if (request.url?.endsWith('/info')) answerJson(response, 200, { OSType: 'linux' });
    else answerJson(response, 404, { message: 'no such thing' });
  };
}

function socketOf({ endpoint }: ScriptedEngine): string {
  return endpoint.replace('unix://', '');
}
