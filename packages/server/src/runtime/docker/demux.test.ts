import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createFrameReader } from './demux.ts';

function frame(stream: number, body: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(body.length, 4);
  return Buffer.concat([header, body]);
}

test('frames come out whole however the transport cuts them', () => {
  const frames = fc.array(fc.tuple(fc.constantFrom(1, 2, 3), fc.uint8Array({ maxLength: 40 })), { maxLength: 12 });
  fc.assert(
    fc.property(frames, fc.array(fc.integer({ min: 1, max: 17 }), { minLength: 1, maxLength: 8 }), (list, cuts) => {
      const wire = Buffer.concat(list.map(([stream, body]) => frame(stream, Buffer.from(body))));
      const got = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
      const reader = createFrameReader((stream, chunk) => got[stream].push(chunk));
      for (let at = 0, n = 0; at < wire.length; n += 1) {
        const size = cuts[n % cuts.length] ?? 1;
        reader.push(wire.subarray(at, at + size));
        at += size;
      }
      const expected = (wanted: boolean) => Buffer.concat(list.filter(([s]) => (s === 1) === wanted).map(([, body]) => Buffer.from(body)));
      assert.deepEqual(Buffer.concat(got.stdout), expected(true));
      assert.deepEqual(Buffer.concat(got.stderr), expected(false));
      assert.ok(reader.isWhole());
    }),
  );
});

test('a stream that ends inside a frame is known to be cut', () => {
  const reader = createFrameReader(() => undefined);
  reader.push(frame(1, Buffer.from('hello')).subarray(0, 10));
  assert.equal(reader.isWhole(), false);
});
