import assert from 'node:assert/strict';
import type { Duplex, Readable } from 'node:stream';
import { test } from 'node:test';
import { silentLogger } from '../../base/log.ts';
import { waitFor } from '../conformance/bench.ts';
import { createDockerDriver } from './driver.ts';
import { answerJson, startScriptedEngine } from './scripted-engine.ts';

const REF = { sandbox: 'sbx_1', incarnation: 'inc_1', handle: 'x' };
const CREATED = { Id: 'x', Created: '2026-01-01T00:00:00Z', State: { Status: 'created', Running: false, ExitCode: 0 }, Config: {} };

test('the outputs of a program that was over before its start was answered end all the same', async () => {
  let attached: Duplex | undefined;
  await using scripted = await startScriptedEngine({
    answer({ url = '', socket }, response) {
      if (url.includes('/attach')) {
        attached = socket;
        socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
      } else if (url.includes('/start')) {
        // It said nothing and is gone. The connection has ended on both sides before the start is answered.
        attached?.once('close', () => response.writeHead(204).end());
        attached?.end();
      } else if (url.includes('/wait')) answerJson(response, 200, { StatusCode: 3 });
      else answerJson(response, 200, CREATED);
    },
  });
  const driver = createDockerDriver({ endpoint: scripted.endpoint, log: silentLogger });
  const io = await driver.start(REF);
  const ended: Readable[] = [];
  for (const output of [io.stdout, io.stderr]) output.resume().once('end', () => ended.push(output));
  await waitFor(
    () => ended.length,
    (count) => count === 2,
  );
  assert.equal((await io.exited).exitCode, 3);
  await driver.close();
});
