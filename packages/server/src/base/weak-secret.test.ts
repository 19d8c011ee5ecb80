import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { weaknessOf } from './weak-secret.ts';

test('defaults, placeholders and patterns are no secrets', () => {
  const weak = [
    '',
    'short',
    'password',
    'changeme123',
    'your-api-key-here',
    'YOUR_API_KEY',
    '<your key>',
    'xxxxxxxxxxxx',
    'abcdefghijkl',
    '123456789',
  ];
  for (const text of [...weak, 'aaaaaaaaaaaa', 'change-me', 'test-secret', 'example-key', '............'])
    assert.ok(weaknessOf(text, 8), text);
});

test('what somebody was issued is one', () => {
  const issued = ['sk-ant-api03-Zx81', 'ghp_0123456789-secret', 'hunter2-but-longer', 'AIzaSyD-9tSr', 'my-password-is-8f3k2'];
  for (const text of [...issued, ...Array.from({ length: 200 }, () => randomBytes(12).toString('base64url'))])
    assert.equal(weaknessOf(text, 8), undefined, text);
});
