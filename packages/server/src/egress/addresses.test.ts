import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deniedBut, isDeniedAddress } from './addresses.ts';

const DENIED_V4 = [
  '0.0.0.0',
  '0.0.0.1',
  '0.255.255.255',
  '10.0.0.0',
  '10.1.2.3',
  '10.255.255.255',
  '100.64.0.0',
  '100.100.100.200',
  '100.127.255.255',
  '127.0.0.1',
  '127.1.1.1',
  '127.255.255.255',
  '169.254.0.1',
  '169.254.169.254',
  '169.254.170.2',
  '169.254.255.255',
  '172.16.0.0',
  '172.17.0.1',
  '172.31.255.255',
  '192.0.0.1',
  '192.0.0.192',
  '192.0.2.1',
  '192.88.99.1',
  '192.168.0.1',
  '192.168.255.255',
  '198.18.0.1',
  '198.19.255.255',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '239.255.255.255',
  '240.0.0.1',
  '255.255.255.255',
  '168.63.129.16',
];
const ALLOWED_V4 = [
  '1.1.1.1',
  '8.8.8.8',
  '9.255.255.255',
  '11.0.0.0',
  '100.63.255.255',
  '100.128.0.0',
  '126.255.255.255',
  '128.0.0.0',
  '169.253.255.255',
  '169.255.0.0',
  '172.15.255.255',
  '172.32.0.0',
  '192.0.1.0',
  '192.167.255.255',
  '192.169.0.0',
  '198.17.255.255',
  '198.20.0.0',
  '223.255.255.255',
  '168.63.129.17',
];
const DENIED_V6 = [
  '::',
  '::1',
  'fe80::1',
  'fe80::1%eth0',
  'fc00::1',
  'fd00:ec2::254',
  'fdaa::3',
  'ff02::1',
  '64:ff9b:1::1',
  '100::1',
  '2001::1',
  '2001:0:4136::1',
  '2001:2::1',
  '2001:10::1',
  '2001:db8::1',
  '2002::1',
  '3fff::1',
  '5f00::1',
  '4000::1',
  '1fff::1',
  'fec0::1',
];
const ALLOWED_V6 = ['2606:4700:4700::1111', '2001:4860:4860::8888', '2a00:1450::1', '2003::1', '2400:cb00::1', '3ffe::1'];

/** The same IPv4 address carried inside IPv6: mapped, compatible, translated, NAT64, 6to4, Teredo-like. */
function insideV6(address: string): readonly string[] {
  const [a = 0, b = 0, c = 0, d = 0] = address.split('.').map(Number);
  const hex = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  return [
    `::ffff:${address}`,
    `::ffff:${hex}`,
    `0:0:0:0:0:ffff:${hex}`,
    `::${hex}`,
    `::ffff:0:${hex}`,
    `64:ff9b::${address}`,
    `64:ff9b::${hex}`,
    `2002:${hex}::1`,
  ];
}

test('denies every address that is not plainly of the internet', () => {
  for (const address of [...DENIED_V4, ...DENIED_V6]) assert.equal(isDeniedAddress(address), true, address);
});

test('denies IPv4 inside IPv6 in every form, the public ones too', () => {
  const forms = [...DENIED_V4, ...ALLOWED_V4].flatMap(insideV6);
  assert.ok(forms.length > 400);
  for (const address of forms) assert.equal(isDeniedAddress(address), true, address);
});

test('allows the internet, up to the borders of the denied ranges', () => {
  for (const address of [...ALLOWED_V4, ...ALLOWED_V6]) assert.equal(isDeniedAddress(address), false, address);
});

test('denies what is no address in its one plain form', () => {
  for (const address of [
    '',
    'localhost',
    '2130706433',
    '0x7f.1',
    '0177.0.0.1',
    '127.1',
    '1.1.1',
    '1.1.1.1.',
    ' 1.1.1.1',
    '[::1]',
    '1.1.1.256',
  ])
    assert.equal(isDeniedAddress(address), true, address);
});

test('private networks that the operator opens can be reached, in their own form only, and never the metadata', () => {
  const denied = deniedBut(['10.1.2.0/24', '127.0.0.1', 'fd12::/16', '169.254.0.0/16', '100.100.0.0/16']);
  for (const address of ['10.1.2.3', '127.0.0.1', 'fd12::5', '1.1.1.1', '2606:4700::1111']) assert.equal(denied(address), false, address);
  const outside = ['10.1.3.1', '127.0.0.2', '192.168.1.1', '::1', 'fd13::1', 'fd00:ec2::254', '169.254.169.254', '100.100.100.200'];
  const inside = ['::ffff:10.1.2.3', '::10.1.2.3', '64:ff9b::a01:203', '64:ff9b:1::a01:203', '2002:a01:203::1', '2001:0:a01:203::1'];
  const odd = ['fd12::5%eth0', '10.1.515', '0x0a010203', 'localhost', ''];
  for (const address of [outside, inside, odd].flat()) assert.equal(denied(address), true, address);
  assert.equal(deniedBut([])('10.1.2.3'), true);
});
