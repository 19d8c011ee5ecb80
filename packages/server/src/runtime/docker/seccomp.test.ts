import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asJsonObject, type JsonObject } from '../../base/json.ts';
import { tightenSeccomp } from './seccomp.ts';

test('what makes namespaces is taken out of every rule that allows it, and denied by name', () => {
  const allow = { names: ['read', 'unshare', 'clone', 'clone3'], action: 'SCMP_ACT_ALLOW' };
  const onlyAdmin = { names: ['setns'], action: 'SCMP_ACT_ALLOW', includes: { caps: ['CAP_SYS_ADMIN'] } };
  const tight = tightenSeccomp({ defaultAction: 'SCMP_ACT_ERRNO', syscalls: [allow, onlyAdmin] });
  assert.equal(tight.defaultAction, 'SCMP_ACT_ERRNO');
  const rules = (Array.isArray(tight.syscalls) ? tight.syscalls : []).map(asJsonObject);
  const of = (name: string) => rules.filter(({ names }: JsonObject) => Array.isArray(names) && names.includes(name));
  assert.deepEqual(of('read'), [{ names: ['read'], action: 'SCMP_ACT_ALLOW' }]);
  for (const name of ['unshare', 'setns', 'mount'])
    assert.deepEqual(
      of(name).map(({ action, errnoRet }) => [action, errnoRet]),
      [['SCMP_ACT_ERRNO', 1]],
    );
  assert.deepEqual(
    of('clone3').map(({ errnoRet }) => errnoRet),
    [38],
  );
  assert.ok(of('clone').every(({ args }) => JSON.stringify(args).includes('"value":2114060288')));
});
