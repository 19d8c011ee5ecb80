import { StringDecoder } from 'node:string_decoder';

/** Characters of one result that the model is given. */
export const MAX_OUTPUT = 30_000;

export interface OutputBuffer {
  write(chunk: Buffer): void;
  /** The beginning and the end, with a notice of what was cut between them. */
  text(): string;
}

/** Keeps the first and the last half of the limit, whatever comes; memory is bounded. */
export function createOutputBuffer(limit: number = MAX_OUTPUT): OutputBuffer {
  const decoder = new StringDecoder('utf8');
  const half = Math.floor(limit / 2);
  let head = '';
  let tail = '';
  let dropped = 0;
  const add = (text: string) => {
    const room = half - head.length;
    if (room > 0) head += text.slice(0, room);
    tail += text.slice(Math.max(0, room));
    // Trimmed only at twice the size, so that many small chunks do not copy the tail each time.
    if (tail.length > 2 * half) trim();
  };
  const trim = () => {
    const surplus = tail.length - half;
    if (surplus <= 0) return;
    dropped += surplus;
    tail = tail.slice(surplus);
  };
  return {
    write: (chunk) => add(decoder.write(chunk)),
    text() {
      add(decoder.end());
      trim();
      return dropped === 0 ? head + tail : `${head}\n[… ${dropped} characters cut …]\n${tail}`;
    },
  };
}

/** Cuts a whole text the same way. */
export function capOutput(text: string, limit: number = MAX_OUTPUT): string {
  if (text.length <= limit) return text;
  const half = Math.floor(limit / 2);
  return `${text.slice(0, half)}\n[… ${text.length - 2 * half} characters cut …]\n${text.slice(-half)}`;
}
