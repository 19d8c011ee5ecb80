import type { FileHandle } from 'node:fs/promises';

const CHUNK = 256 * 1024;

/** Exactly so many bytes of a file. Throws when the file has become shorter. */
export async function* readBytes(handle: FileHandle, { start, length }: { start: number; length: number }): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < length; ) {
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK, length - at));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, start + at);
    if (bytesRead === 0) throw new Error('the file became shorter while it was read');
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
