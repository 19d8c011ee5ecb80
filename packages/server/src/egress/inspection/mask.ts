import { Transform } from 'node:stream';

const STAR = 0x2a;

/**
 * Puts stars over every secret, so that the length stays; one that is cut in two by chunks is found too. Only what may
 * be the beginning of one is held back, so that a stream goes on as it comes.
 */
export function createMask(secrets: readonly string[]): Transform {
  const needles = secrets.filter((secret) => secret !== '').map((secret) => Buffer.from(secret));
  let tail: Buffer = Buffer.alloc(0);
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const all = Buffer.concat([tail, chunk]);
      cover(all, needles);
      const cut = all.length - Math.max(0, ...needles.map((needle) => begunAtEnd(all, needle)));
      tail = all.subarray(cut);
      done(null, all.subarray(0, cut));
    },
    flush(done) {
      done(null, tail);
    },
  });
}

export function maskText(text: string, secrets: readonly string[]): string {
  return secrets.filter((secret) => secret !== '').reduce((left, secret) => left.replaceAll(secret, '*'.repeat(secret.length)), text);
}

function cover(bytes: Buffer, needles: readonly Buffer[]): void {
  for (const needle of needles) {
    for (let at = bytes.indexOf(needle); at >= 0; at = bytes.indexOf(needle, at + 1)) bytes.fill(STAR, at, at + needle.length);
  }
}

/** How many bytes at the end may be the beginning of the needle. */
function begunAtEnd(bytes: Buffer, needle: Buffer): number {
  for (let length = Math.min(needle.length - 1, bytes.length); length > 0; length--)
    if (bytes.subarray(bytes.length - length).equals(needle.subarray(0, length))) return length;
  return 0;
}
