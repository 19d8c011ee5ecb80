import { type Readable, Transform, type Writable } from 'node:stream';
import type { Logger } from '../../base/log.ts';

/**
 * The program's output, of which a copy is kept. A reader who goes away does not hold the program up: what still
 * comes is dropped.
 */
export function readOutput(source: Readable, keep: (chunk: Buffer) => Promise<void>): Readable {
  const output = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      this.push(chunk);
      // The next chunk waits for the copy of this one, so that a slow disk does not fill the memory.
      keep(chunk).then(() => done(), done);
    },
  });
  source.pipe(output);
  const end = (): void => void output.end();
  source.once('error', end);
  source.once('close', end);
  output.once('close', () => {
    source.unpipe(output);
    source.resume();
  });
  return output;
}

export function readInput(stdin: Writable, log: Logger): Writable {
  // Writing to a program that has gone is normal; its exit report says why it went.
  stdin.on('error', (error) => log.debug({ err: error }, 'input for a sandbox was not taken'));
  return stdin;
}
