/**
 * The engine sends stdout and stderr of a container in one stream of frames: an 8-byte header (stream
 * number, three zero bytes, big-endian length) and that many bytes. Headers and bodies are cut anywhere by
 * the transport, and bodies are handed on as they come, so a frame of any length costs no memory.
 */
export type FrameSink = (stream: 'stdout' | 'stderr', chunk: Buffer) => void;

const HEADER_BYTES = 8;
const STDIN_ECHO = 0;
const STDOUT = 1;

export interface FrameReader {
  push(chunk: Buffer): void;
  /** True between frames: a stream that ends elsewhere was cut. */
  isWhole(): boolean;
}

export function createFrameReader(sink: FrameSink): FrameReader {
  const header = Buffer.alloc(HEADER_BYTES);
  let headerBytes = 0;
  let bodyBytes = 0;

  function takeHeader(chunk: Buffer, offset: number): number {
    const count = Math.min(HEADER_BYTES - headerBytes, chunk.length - offset);
    chunk.copy(header, headerBytes, offset, offset + count);
    headerBytes += count;
    if (headerBytes === HEADER_BYTES) {
      bodyBytes = header.readUInt32BE(4);
      if (bodyBytes === 0) headerBytes = 0;
    }
    return offset + count;
  }

  function takeBody(chunk: Buffer, offset: number): number {
    const end = Math.min(chunk.length, offset + bodyBytes);
    // Stream 3 carries the engine's own complaints: they belong with stderr.
    const isStdout = header[0] === STDOUT || header[0] === STDIN_ECHO;
    sink(isStdout ? 'stdout' : 'stderr', chunk.subarray(offset, end));
    bodyBytes -= end - offset;
    if (bodyBytes === 0) headerBytes = 0;
    return end;
  }

  return {
    push(chunk) {
      let offset = 0;
      while (offset < chunk.length) offset = headerBytes < HEADER_BYTES ? takeHeader(chunk, offset) : takeBody(chunk, offset);
    },
    isWhole: () => headerBytes === 0,
  };
}
