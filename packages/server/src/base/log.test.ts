import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { createLogger } from './log.ts';
import { rememberSecret } from './redaction/redaction.ts';

test('a line shows what happened and no secret, whatever it is said in', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'log-'));
  const file = path.join(directory, 'log');
  const secret = 'a-secret-that-was-opened-"quoted"';
  rememberSecret(secret);
  try {
    const log = createLogger({ level: 'trace', format: 'json', file }).child({ child: 1 });
    const failure = Object.assign(new Error(`refused ${secret}`, { cause: new Error(Buffer.from(secret).toString('base64')) }), {
      request: { headers: { authorization: 'Basic eHl6OmFiYw==', host: 'kept.example' } },
    });
    log.error({ err: failure, deep: { list: [{ apiKey: 'short' }] } }, `at https://user:pass@host/?token=abc said ${secret}`);
    log.trace('the next line');
    const [first = '', second = ''] = readFileSync(file, 'utf8').trim().split('\n');
    for (const hidden of [
      secret,
      'quoted',
      'eHl6OmFiYw',
      'user:pass',
      'token=abc',
      'short',
      Buffer.from(secret).toString('base64').slice(0, 20),
    ])
      assert.ok(!first.includes(hidden), `${hidden} in ${first}`);
    const told: { readonly msg: string; readonly child: number; readonly err: { readonly request: unknown } } = JSON.parse(first);
    assert.equal(told.msg, 'at https://[redacted]@host/?token=[redacted] said [redacted]');
    assert.deepEqual(told.err.request, { headers: { authorization: '[redacted]', host: 'kept.example' } });
    assert.equal(told.child, 1);
    assert.equal(JSON.parse(second).msg, 'the next line');
  } finally {
    rmSync(directory, { recursive: true });
  }
});
