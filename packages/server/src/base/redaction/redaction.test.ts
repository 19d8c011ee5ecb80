import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { createNeedles } from './needles.ts';
import { createRedactor } from './redaction.ts';
import { redactFields } from './shapes.ts';

const SECRET = 'p@ss/w0rd+"ünd" 0123456789';

describe('redaction by value', () => {
  const redactor = createRedactor();
  redactor.remember(SECRET, { isLasting: true });
  const bytes = Buffer.from(SECRET);
  const forms: Readonly<Record<string, string>> = {
    plain: SECRET,
    json: JSON.stringify({ a: SECRET }),
    'percent-encoded': `x=${encodeURIComponent(SECRET)}`,
    'of a form': new URLSearchParams({ x: SECRET }).toString(),
    hex: bytes.toString('hex'),
    'upper hex': bytes.toString('hex').toUpperCase(),
    base64: bytes.toString('base64'),
    base64url: bytes.toString('base64url'),
    'base64 behind a name': Buffer.from(`user:${SECRET}`).toString('base64'),
    'base64 amid other text': Buffer.from(`ab${SECRET}cdefg`).toString('base64'),
  };
  for (const [name, text] of Object.entries(forms))
    test(`finds it ${name}`, () => {
      const told = redactor.redact(`before ${text} after`);
      assert.match(told, /^before .*\[redacted\].* after$/);
      const [left, right] = told.split('[redacted]');
      for (const part of [left, right]) assert.ok(!/0123456|w0rd|MDEyMzQ1|3031323334/.test(part ?? ''), told);
    });

  test('leaves other text as it is', () => {
    const text = 'a turn ended after 12345678 ms in ses_0123456789abcdef, GET https://example.org/path?page=2';
    assert.equal(redactor.redact(text), text);
  });

  test('passes by what is too short to be told from chance', () => {
    const own = createRedactor();
    own.remember('default');
    assert.equal(own.redact('the default agent'), 'the default agent');
  });

  test('forgets the oldest of those that come and go, and never what lasts', () => {
    const own = createRedactor(4);
    own.remember('lasting-secret', { isLasting: true });
    for (let index = 0; index < 10; index++) own.remember(`passing-secret-${index}`);
    assert.equal(own.redactKnown('lasting-secret passing-secret-9'), '[redacted] [redacted]');
    assert.equal(own.redactKnown('passing-secret-0'), 'passing-secret-0');
  });
});

test('needles are found wherever they stand, and the longest of several', () => {
  for (let round = 0; round < 300; round++) {
    const needles = createNeedles();
    const secrets = Array.from({ length: 20 }, () => randomBytes(6 + (round % 20)).toString('base64url'));
    for (const secret of secrets) needles.add(secret);
    const [first = '', second = ''] = secrets;
    const noise = randomBytes(round % 40).toString('hex');
    assert.equal(needles.replaceIn(`${noise}${first}${noise}${second}`, '#'), `${noise}#${noise}#`);
  }
  const nested = createNeedles();
  for (const one of ['abcdefgh', 'abcdefghij']) nested.add(one);
  assert.equal(nested.replaceIn('xabcdefghijabcdefgh', '#'), 'x##');
});

describe('redaction by form', () => {
  const redactor = createRedactor();
  const cases: readonly (readonly [string, string])[] = [
    ['postgres://cloister:hunter22@db/x', 'postgres://[redacted]@db/x'],
    ['https://api.example/?a=1&api_key=abcdef&b=2', 'https://api.example/?a=1&api_key=[redacted]&b=2'],
    ['authorization: Bearer abcdefgh.ijkl', 'authorization: Bearer [redacted]'],
    ['the key clst_abcdefghijklmnopqrstuvwxyz0123 is wrong', 'the key [redacted] is wrong'],
    ['x-api-key: sk-ant-api03-abcdefghijklmnop', 'x-api-key: [redacted]'],
    ['a task-force of sk-8 people', 'a task-force of sk-8 people'],
  ];
  for (const [text, expected] of cases) test(expected, () => assert.equal(redactor.redact(text), expected));

  test('fields by their names, at any depth, and nothing else', () => {
    const plain = { a: [{ b: 1 }], tokens: 12, usage: { input_tokens: 3 } };
    assert.equal(redactFields(plain), plain);
    const told = redactFields({
      request: { headers: { Authorization: 'x', 'X-Api-Key': 'y', host: 'h' } },
      list: [{ client_secret: 's' }],
    });
    assert.deepEqual(told, {
      request: { headers: { Authorization: '[redacted]', 'X-Api-Key': '[redacted]', host: 'h' } },
      list: [{ client_secret: '[redacted]' }],
    });
  });
});
