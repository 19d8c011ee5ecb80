import assert from 'node:assert/strict';
import type { Duplex, Readable } from 'node:stream';
import { test } from 'node:test';
import { silentLogger } from '../../base/log.ts';
import { collect, waitFor } from '../conformance/bench.ts';
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

test('what an engine did not send before it closed the streams comes from its log', async () => {
  let attached: Duplex | undefined;
  const over = Promise.withResolvers<void>();
  await using scripted = await startScriptedEngine({
    server: 'Libpod/4.3.1 (linux)',
    answer({ url = '', socket }, response) {
      if (url.includes('/version')) answerJson(response, 200, { Components: [{ Name: 'Podman Engine' }] });
      else if (url.includes('/attach')) {
        attached = socket;
        socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
        socket.write(frame(1, 'one\n'));
      } else if (url.includes('/start')) {
        response.writeHead(204).end();
        attached?.end();
        over.resolve();
      } else if (url.includes('/wait')) {
        response.writeHead(200).flushHeaders();
        void over.promise.then(() => response.end('{"StatusCode":0}'));
      } else if (url.includes('/logs')) response.end(Buffer.concat([frame(1, 'one\n'), frame(2, 'late'), frame(1, 'two\n')]));
      else answerJson(response, 200, CREATED);
    },
  });
  const driver = createDockerDriver({ endpoint: scripted.endpoint, log: silentLogger });
  const io = await driver.start(REF);
  const [stdout, stderr] = await Promise.all([collect(io.stdout), collect(io.stderr)]);
  assert.deepEqual([stdout.toString(), stderr.toString()], ['one\ntwo\n', 'late']);
  await driver.close();
});

function frame(stream: 1 | 2, text: string): Buffer {
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([header, Buffer.from(text)]);
}
