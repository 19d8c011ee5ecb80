import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientKey, createClientAddress } from './client-address.ts';

test('every form of an address is one client, and so is a /64', () => {
  const forms: readonly (readonly [string, string])[] = [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:c000:201', '192.0.2.1'],
    ['0:0:0:0:0:ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2::1', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2:ffff:ffff:ffff:ffff', '2001:db8:1:2::/64'],
    ['2001:0db8:0001:0002:0000::9', '2001:db8:1:2::/64'],
    ['2001:db8:1:3::1', '2001:db8:1:3::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['none', 'none'],
  ];
  for (const [address, key] of forms) assert.equal(clientKey(address), key, address);
});

test('only trusted proxies are asked whom they speak for', () => {
  const find = createClientAddress(['10.0.0.0/8', '2001:db8::1']);
  assert.equal(find('192.0.2.1', '198.51.100.7'), '192.0.2.1');
  assert.equal(find('10.0.0.1', '198.51.100.7'), '198.51.100.7');
  assert.equal(find('2001:db8::1', '198.51.100.7, 10.9.9.9'), '198.51.100.7');
  // What stands before the first address that a trusted one has seen is anybody's word.
  assert.equal(find('10.0.0.1', '1.1.1.1, 198.51.100.7'), '198.51.100.7');
  for (const missing of [undefined, '', 'unknown', '1.1.1.1, nonsense']) assert.equal(find('10.0.0.1', missing), '10.0.0.1');
  assert.equal(find('::ffff:10.0.0.1', '198.51.100.7'), '198.51.100.7');
});
