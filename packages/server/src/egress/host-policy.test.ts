import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NetworkPolicy, NetworkRule } from './gateway.ts';
import { createHostPolicy, parseHostRule, parseTarget } from './host-policy.ts';

const decide = (allowedHosts: readonly string[], authority: string): boolean => {
  const target = parseTarget(authority);
  const ask = (policy: NetworkPolicy) => createHostPolicy([policy]);
  return target !== undefined && ask({ allowedHosts })({ target, method: 'CONNECT', path: undefined }).type === 'allowed';
};

const CASES: readonly (readonly [readonly string[], string, boolean])[] = [
  [[], 'example.org:443', false],
  [['example.org'], 'example.org:443', true],
  [['example.org'], 'example.org:80', true],
  [['example.org'], 'example.org:22', false],
  [['example.org'], 'EXAMPLE.ORG:443', true],
  [['example.org'], 'example.org.:443', true],
  [['Example.Org'], 'example.org:443', true],
  [['example.org'], 'www.example.org:443', false],
  [['example.org'], 'evilexample.org:443', false],
  [['example.org'], 'example.org.evil.net:443', false],
  [['example.org:8443'], 'example.org:8443', true],
  [['example.org:8443'], 'example.org:443', false],
  [['cafe:443'], 'cafe:443', true],
  [['*.example.org'], 'a.example.org:443', true],
  [['*.example.org'], 'a.b.example.org:443', true],
  [['*.example.org'], 'example.org:443', false],
  [['*.example.org'], 'aexample.org:443', false],
  [['*.example.org:8080'], 'a.example.org:8080', true],
  [['*'], 'example.org:443', false],
  [['*.*'], 'example.org:443', false],
  [['ex*mple.org'], 'example.org:443', false],
  [['https://example.org'], 'example.org:443', false],
  [['bücher.example'], 'xn--bcher-kva.example:443', true],
  [['1.1.1.1'], '1.1.1.1:443', true],
  [['1.1.1.1'], '0x1010101:443', true],
  [['2606:4700::1111'], '[2606:4700::1111]:443', true],
  [['[2606:4700::1111]:8443'], '[2606:4700::1111]:8443', true],
];

for (const [allowed, authority, expected] of CASES) {
  test(`${JSON.stringify(allowed)} ${expected ? 'allows' : 'refuses'} ${authority}`, () =>
    assert.equal(decide(allowed, authority), expected));
}

test('an authority that hides another one is no target', () => {
  const tricks = [
    'example.org',
    'user@example.org:443',
    'example.org:443@127.0.0.1:80',
    'example.org:443/x',
    'example.org:443?x',
    'example.org:443#x',
    'example.org\\@127.0.0.1:443',
    'example.org%00:443',
    'exa mple.org:443',
    ':443',
    '',
    'example.org:0',
    'example.org:65536',
    'example.org:999999',
    'example.org:4a3',
    'http://example.org:443',
    '[::1:443',
    `${'a'.repeat(300)}%41:443`,
  ];
  for (const authority of tricks) assert.equal(parseTarget(authority), undefined, authority);
});

test('numbers in odd bases become the address they mean', () => {
  for (const form of ['2130706433', '0x7f000001', '0x7f.1', '0177.0.0.1', '127.1', '127.0.0.1.'])
    assert.equal(parseTarget(`${form}:80`)?.host, '127.0.0.1', form);
  assert.equal(parseTarget('[::ffff:7f00:1]:80')?.host, '::ffff:7f00:1');
  assert.equal(parseTarget('ⓔxample.org:80')?.host, 'example.org');
});

test('an unrestricted policy allows every name and port', () => {
  const policy = createHostPolicy([{ allowedHosts: [], isUnrestricted: true }]);
  const target = { host: 'anything.example', port: 9_000 };
  assert.deepEqual(policy({ target, method: 'CONNECT', path: undefined }), { type: 'allowed', credential: undefined });
});

test('an entry says whether it is one', () => {
  for (const entry of ['example.org', '*.example.org', 'example.org:8080', '1.1.1.1'])
    assert.notEqual(parseHostRule(entry), undefined, entry);
  for (const entry of ['', '*', 'a b', 'http://x', 'x/y', 'x@y', '*.']) assert.equal(parseHostRule(entry), undefined, entry);
});

const HOST = 'api.example';

/** What a policy of these rules says of requests, in short. */
function judge(rules: readonly Omit<NetworkRule, 'host'>[], method: string, path?: string): string {
  const policy = createHostPolicy([{ allowedHosts: [], rules: rules.map((rule) => ({ host: HOST, ...rule })) }]);
  const verdict = policy({ target: { host: HOST, port: 80 }, method, path });
  return verdict.type === 'denied' ? verdict.reason : verdict.type;
}

const RULES: readonly (readonly [readonly Omit<NetworkRule, 'host'>[], string, string | undefined, string])[] = [
  [[{}], 'DELETE', '/x', 'allowed'],
  [[{}], 'CONNECT', undefined, 'allowed'],
  [[{ methods: ['GET'] }], 'GET', '/x', 'allowed'],
  [[{ methods: ['GET'] }], 'HEAD', '/x', 'allowed'],
  [[{ methods: ['GET'] }], 'POST', '/x', 'method'],
  [[{ methods: ['GET'] }], 'get', '/x', 'method'],
  [[{ methods: ['GET'] }], 'CONNECT', undefined, 'method'],
  [[{ methods: ['GET', 'CONNECT'] }], 'CONNECT', undefined, 'allowed'],
  [[{ methods: ['GET'] }, { methods: ['POST'], paths: ['/hook'] }], 'POST', '/hook', 'allowed'],
  [[{ methods: ['GET'] }, { methods: ['POST'], paths: ['/hook'] }], 'POST', '/other', 'path'],
  [[{ paths: ['/v1'] }], 'GET', '/v1', 'allowed'],
  [[{ paths: ['/v1'] }], 'GET', '/v1/x', 'allowed'],
  [[{ paths: ['/v1'] }], 'GET', '/v10', 'path'],
  [[{ paths: ['/v1/'] }], 'GET', '/v1', 'path'],
  [[{ paths: ['/v1'] }], 'GET', '/v1/%2e%2e/admin', 'path'],
  [[{ paths: ['/v1'] }], 'GET', '/v1/..%2fadmin', 'path'],
  [[{ paths: ['/v1'] }], 'GET', '/v1/%252e%252e/admin', 'path'],
  [[{ paths: ['/v1'] }], 'GET', '/v1\\..\\admin', 'path'],
  [[{ paths: ['/v1'] }], 'GET', '/v1/../admin', 'path'],
  [[{ paths: ['/v1'] }], 'GET', '/v1//admin', 'path'],
  [[{ paths: ['/v1'] }], 'CONNECT', undefined, 'method'],
  [[{ isInspected: true, methods: ['GET'] }], 'CONNECT', undefined, 'inspect'],
  [[{ isInspected: true, methods: ['GET'] }], 'GET', '/', 'allowed'],
  [[{}, { credential: 'token' }], 'CONNECT', undefined, 'inspect'],
];

for (const [rules, method, path, expected] of RULES) {
  test(`${JSON.stringify(rules)} on ${method} ${path ?? ''}: ${expected}`, () => assert.equal(judge(rules, method, path), expected));
}

test('of several policies each must allow it, and none allows nothing', () => {
  const target = { host: HOST, port: 443 };
  const tunnel = { target, method: 'CONNECT', path: undefined };
  const all = { allowedHosts: [], isUnrestricted: true };
  const narrow = { allowedHosts: ['other.example'], rules: [{ host: HOST, isInspected: true }] };
  assert.equal(createHostPolicy([all, { allowedHosts: ['other.example'] }])(tunnel).type, 'denied');
  assert.equal(createHostPolicy([{ allowedHosts: [] }, all])(tunnel).type, 'denied');
  assert.equal(createHostPolicy([all, narrow])(tunnel).type, 'inspect');
  assert.equal(createHostPolicy([])(tunnel).type, 'denied');
});
