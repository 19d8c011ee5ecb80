import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { programEnvironment } from '../../../../test/support/program-environment.ts';
import { message, startTestServer, type TestServer, type Wire } from '../support/server.ts';

const run = promisify(execFile);
const CLI = path.resolve(import.meta.dirname, '../../src/cli/main.ts');

describe('the log', { timeout: 90_000 }, () => {
  let server: TestServer;
  let directory: string;
  let file: string;
  let session: string;
  const turns: string[] = [];
  const lines = async (): Promise<readonly Wire[]> =>
    (await readFile(file, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));

  before(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'cloister-logs-'));
    file = path.join(directory, 'cloister.log');
    server = await startTestServer({ env: { LOG_FILE: file, LOG_LEVEL: 'debug', PRESTART_SANDBOXES: 'false' } });
    session = await server.createSession();
    for (const text of ['hello', 'once more']) {
      const { body } = await server.json('POST', `/v1/sessions/${session}/events?wait=30`, { body: { events: [message(text)] } });
      turns.push(body.turn.id);
    }
    await server.stop();
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  });

  it('says on each line of a request and of a turn which it is', async () => {
    const all = await lines();
    const requests = all.filter(({ msg }) => msg === 'request');
    assert.ok(requests.length >= 4 && requests.every(({ requestId }) => requestId.startsWith('req_')));
    const ready = all.find(({ msg }) => msg === 'sandbox ready');
    assert.deepEqual([ready.session, ready.turn, ready.attempt], [session, turns[0], 1]);
    // The attempt is nobody's request, though one has woken whoever began it.
    assert.equal(ready.requestId, undefined);
  });

  it('is read by the command line, of one session and from one level on', async () => {
    const env = { ...programEnvironment(), LOG_FILE: file };
    const logs = async (...args: string[]) => (await run(process.execPath, [CLI, 'logs', ...args], { env })).stdout.trim().split('\n');
    const own = (await logs('--session', session, '--json', '-n', '100')).map((line): Wire => JSON.parse(line));
    assert.ok(own.length > 0 && own.every((line) => line.session === session || line.sessionId === session));
    assert.deepEqual(
      own.at(-1),
      (await lines()).findLast((line) => line.session === session),
    );
    const [line = ''] = await logs('--level', 'info', '-n', '1');
    assert.match(line, /^\d{4}-\d\d-\d\dT[\d:.]+Z (INFO|WARN|ERROR) +\S/);
  });
});
