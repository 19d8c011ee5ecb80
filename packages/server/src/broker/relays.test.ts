import assert from 'node:assert/strict';
import { test } from 'node:test';
import { INSTALLATION_LABEL } from '../runtime/docker/profile.ts';
import { INCARNATION_LABEL, SERVICE_LABEL, TENANT_LABEL } from '../runtime/docker/service-profile.ts';
import { aliasesOf, serviceLabelsOf } from './relays.ts';

test('a service may have names of another system beside our labels, and no other label', () => {
  const own = { [INSTALLATION_LABEL]: 'ins', [TENANT_LABEL]: 'default', [SERVICE_LABEL]: 'svc_1', [INCARNATION_LABEL]: 'inc_1' };
  const read = (more: Record<string, string>) => {
    const sent = { Labels: { ...own, ...more } };
    return aliasesOf(sent, serviceLabelsOf(sent));
  };
  const aliases = { 'clawhq.name': 'clawhq-default-agt_1', 'clawhq.service': 'openclaw-agent' };
  assert.deepEqual(read(aliases), aliases);
  assert.deepEqual(read({}), {});
  for (const [name, value] of [
    ['cloister.node', 'nod_1'],
    ['com.docker.compose.project', 'x'],
    ['clawhq.name', 'a b'],
    ['clawhq.Name', 'x'],
  ] as const)
    assert.throws(() => read({ [name]: value }), /is no name of a service/, name);
  assert.throws(() => read(Object.fromEntries(Array.from({ length: 9 }, (_, index) => [`clawhq.${'abcdefghi'[index]}`, 'x']))), /too many/);
});
