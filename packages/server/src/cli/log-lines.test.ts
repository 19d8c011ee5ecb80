import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { openLogFile } from '../base/log-file.ts';
import { followLines, readLines } from './log-lines.ts';

test('the log is read from its oldest line on and followed through rotations, each line once', async () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'log-lines-'));
  const file = path.join(directory, 'cloister.log');
  const log = openLogFile({ file, maxBytes: 20, keep: 50 });
  const write = (from: number, to: number) => {
    for (let number = from; number <= to; number++) log.write(`line ${number}\n`);
  };
  const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => `line ${from + index}`);
  try {
    write(1, 12);
    const read: string[] = [];
    for await (const line of readLines(file)) read.push(line);
    assert.deepEqual(read, numbers(1, 12));
    const stop = new AbortController();
    const seen: string[] = [];
    let past = 0;
    for await (const line of followLines(file, { signal: stop.signal, onCaughtUp: () => (past = seen.length) })) {
      seen.push(line);
      // Several files are put aside before the reader looks again.
      if (seen.length === 12) queueMicrotask(() => setImmediate(() => write(13, 30)));
      if (seen.length === 30) stop.abort();
    }
    assert.equal(past, 12);
    assert.deepEqual(seen, numbers(1, 30));
  } finally {
    log.close();
    rmSync(directory, { recursive: true });
  }
});
