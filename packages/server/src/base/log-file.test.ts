import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { createLogger } from './log.ts';
import { openLogFile, reopenLogFiles } from './log-file.ts';
import { withWork } from './work-context.ts';

const directory = mkdtempSync(path.join(tmpdir(), 'log-file-'));
after(() => rmSync(directory, { recursive: true }));
const contents = (file: string) => readFileSync(file, 'utf8');

test('a file that is full is put aside, and only as many as wanted are kept', () => {
  const file = path.join(directory, 'deep', 'full.log');
  const log = openLogFile({ file, maxBytes: 10, keep: 2 });
  for (const line of ['one 56\n', 'two 56\n', 'three\n', 'four 6\n', 'longer than a file may be\n', 'last\n']) log.write(line);
  log.close();
  assert.deepEqual([file, `${file}.1`, `${file}.2`].map(contents), ['last\n', 'longer than a file may be\n', 'four 6\n']);
  assert.equal(existsSync(`${file}.3`), false);
});

test('goes on in a new file after somebody has moved the old one', () => {
  const file = path.join(directory, 'moved.log');
  const log = openLogFile({ file });
  log.write('before\n');
  renameSync(file, `${file}.old`);
  log.write('still the old one\n');
  reopenLogFiles();
  log.write('after\n');
  log.close();
  assert.deepEqual([contents(`${file}.old`), contents(file)], ['before\nstill the old one\n', 'after\n']);
});

test('a file that cannot be written is told of once, and stops nobody', () => {
  const failures: unknown[] = [];
  const file = path.join(directory, 'gone', 'x.log');
  const log = openLogFile({ file, onFailure: (error) => failures.push(error) });
  rmSync(path.dirname(file), { recursive: true });
  const blocked = openLogFile({ file: path.join(directory, 'gone') });
  log.reopen();
  log.write('lost\n');
  log.write('lost\n');
  assert.equal(failures.length, 1);
  blocked.close();
  log.close();
});

test('lines say of which work they are, and what the line itself says counts more', async () => {
  const file = path.join(directory, 'work.log');
  const log = createLogger({ level: 'info', format: 'json', file });
  const span = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) };
  await withWork({ fields: { requestId: 'req_1', session: 'ses_1' }, span }, async () => {
    await Promise.resolve();
    log.info({ session: 'ses_2' }, 'within');
  });
  log.info('outside');
  const [within = {}, outside = {}] = contents(file)
    .trim()
    .split('\n')
    .map((line): Record<string, unknown> => JSON.parse(line));
  assert.deepEqual([within.requestId, within.session, within.trace], ['req_1', 'ses_2', span.traceId]);
  assert.deepEqual([outside.requestId, outside.session], [undefined, undefined]);
});
