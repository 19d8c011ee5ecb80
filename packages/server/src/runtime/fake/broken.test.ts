import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { DEFECTS } from './broken-suite.ts';

/** A law that each defect must break, so that the suite fails for the right reason. */
const BROKEN_LAWS: Readonly<Record<string, string>> = {
  'leaks a sandbox': 'remove kills what runs and leaves nothing',
  'lies about the exit code': 'the exit report tells code and signal apart',
  'ignores limits': 'the exit report tells that memory ran out',
  'loses the last bytes': '10 MB of stdout arrive whole',
  'ignores the labels': 'two installations on one engine do not touch each other',
  'ignores aborts': 'a call with an aborted signal rejects with its reason and does nothing',
  'has an excuse it needs not': 'root is refused',
  'has not listed what it leaves out': 'there is no network but the own loopback',
  'pauses nothing': 'a paused sandbox does nothing, and goes on without a byte lost',
  'starts twice': 'a second start is a conflict and leaves the first alone',
};

describe('the conformance suite', { concurrency: 2 }, () => {
  test('passes the sound fake', async () => {
    const { code, output } = await runSuite('none');
    assert.equal(code, 0, output);
  });
  for (const defect of Object.keys(DEFECTS).filter((name) => name !== 'none')) {
    test(`fails a fake that ${defect}`, async () => {
      const { code, output } = await runSuite(defect);
      assert.equal(code, 1, output);
      const law = BROKEN_LAWS[defect];
      assert.match(output, new RegExp(`not ok \\d+ - ${law}`));
    });
  }
});

async function runSuite(defect: string): Promise<{ readonly code: number | null; readonly output: string }> {
  const suite = path.join(import.meta.dirname, 'broken-suite.ts');
  // Without the environment of the outer run, whose variables would make the child report to it.
  const child = spawn(process.execPath, ['--test-reporter=tap', suite, defect], {
    env: {},
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 60_000,
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [output, code] = await Promise.all([text(child.stdout), ended]);
  return { code, output };
}
