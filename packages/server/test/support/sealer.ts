import { randomBytes } from 'node:crypto';
import { createSealer, type SwitchableSealer } from '../../src/vaults/envelope.ts';

/** Seals with a key that nobody keeps. */
export function testSealer(): SwitchableSealer {
  const kek = { id: 'kek_test', key: randomBytes(32) };
  const ring = {
    source: 'the test',
    isManaged: false,
    find: (id: string) => (id === kek.id ? kek : undefined),
    first: () => kek,
    ids: () => [kek.id],
    reload: () => undefined,
    make: () => kek,
    drop: () => undefined,
  };
  return createSealer(ring, kek.id);
}
