import type { DockerContext } from './context.ts';
import { createFrameReader } from './demux.ts';
import { unexpectedAnswer } from './failures.ts';

const DEFAULT_TAIL = 100;
const MAX_LOG_BYTES = 1024 * 1024;

/** The tail of what the engine kept, in order. A single line may be long, so the bytes are bounded too. */
export async function readLogs(
  docker: DockerContext,
  id: string,
  options: { readonly tailLines?: number; readonly signal?: AbortSignal | undefined },
): Promise<string> {
  const query = { stdout: 1, stderr: 1, tail: options.tailLines ?? DEFAULT_TAIL };
  const { status, body } = await docker.engine.open({ method: 'GET', path: `/containers/${id}/logs`, query, signal: options.signal });
  if (status !== 200) {
    body.destroy();
    if (status === 404) return '';
    throw unexpectedAnswer("read a sandbox's log", { status, message: '' });
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  const frames = createFrameReader((_stream, chunk) => {
    chunks.push(chunk);
    bytes += chunk.length;
    for (let first = chunks[0]; first !== undefined && bytes - first.length > MAX_LOG_BYTES; first = chunks[0]) {
      bytes -= first.length;
      chunks.shift();
    }
  });
  for await (const chunk of body) frames.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
