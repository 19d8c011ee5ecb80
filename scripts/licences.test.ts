import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isAllowedLicence, shippedPackages, thirdPartyNotices } from './licences.ts';

test('all that is shipped is under a licence of the list, and its text is passed on', () => {
  const packages = shippedPackages();
  const names = packages.map((one) => one.name);
  for (const bundled of ['hono', 'pg', 'zod', 'ai', '@agentclientprotocol/sdk']) assert.ok(names.includes(bundled), bundled);
  for (const tool of ['typescript', 'esbuild', 'playwright-core', '@cloister/fake-model', '@cloister/api'])
    assert.ok(!names.includes(tool), tool);
  assert.deepEqual(
    packages.filter(({ licence }) => !isAllowedLicence(licence)),
    [],
  );
  const notices = thirdPartyNotices();
  assert.match(notices, /^hono \S+ \(MIT\)\n\nMIT License/m);
});

test('of alternatives one has to be allowed, of joint licences all', () => {
  assert.equal(isAllowedLicence('(AFL-2.1 OR BSD-3-Clause)'), true);
  assert.equal(isAllowedLicence('MIT AND Apache-2.0'), true);
  assert.equal(isAllowedLicence('MIT AND GPL-3.0-only'), false);
  assert.equal(isAllowedLicence('AGPL-3.0-only'), false);
  assert.equal(isAllowedLicence('none'), false);
});
