import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

const TAIL_CHARACTERS = 8192;

/** Reads a stream to its end and keeps the last of it: what a hostile program writes must not fill our memory. */
export function createTail(stream: Readable): { text(): string } {
  const decoder = new StringDecoder('utf8');
  let kept = '';
  stream.on('data', (chunk: Buffer) => {
    kept = (kept + decoder.write(chunk)).slice(-TAIL_CHARACTERS);
  });
  // A broken pipe ends the diagnostics; the exit report tells why.
  stream.on('error', () => undefined);
  return { text: () => kept };
}
