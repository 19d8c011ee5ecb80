import assert from 'node:assert/strict';
import { it } from 'node:test';
import { onceEach } from './pack-place.ts';

it('a name that a changing directory tells twice is packed once, whatever its bytes are', async () => {
  const told = [Buffer.from('a'), Buffer.from([0xff]), Buffer.from('a'), Buffer.from([0xfe]), Buffer.from([0xff])];
  const names: Buffer[] = [];
  for await (const name of onceEach(
    (async function* () {
      yield* told;
    })(),
  ))
    names.push(name);
  assert.deepEqual(names, [told[0], told[1], told[3]]);
});
