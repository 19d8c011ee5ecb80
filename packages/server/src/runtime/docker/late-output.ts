import { delay } from '../../base/clock.ts';
import type { DockerContext } from './context.ts';
import { createFrameReader } from './demux.ts';
import type { OutputBytes, SeenBytes } from './streams.ts';

/** Beyond so much the engine may have dropped the beginning of its log, so that nothing can be counted any more. */
const MAX_SEEN_BYTES = 128 * 1024;
/** How long the end may be told after the streams have ended. */
const END_MS = 2000;

/**
 * What a program wrote that did not come over its streams. Podman can close those of a short life before their last
 * bytes; its log has every byte, in order. Undefined when the program goes on, or nothing can be known.
 */
export async function readLateOutput(
  docker: DockerContext,
  id: string,
  { exited, seen }: { readonly exited: Promise<unknown>; readonly seen: SeenBytes },
): Promise<OutputBytes | undefined> {
  if (seen.stdout + seen.stderr > MAX_SEEN_BYTES) return undefined;
  const tooLong = delay(docker.clock, END_MS, docker.closing).then(
    () => false,
    () => false,
  );
  if (!(await Promise.race([exited.then(() => true), tooLong]))) return undefined;
  const { status, body } = await docker.engine.open({ method: 'GET', path: `/containers/${id}/logs`, query: { stdout: 1, stderr: 1 } });
  if (status !== 200) {
    // It is removed by now, so nobody reads on.
    body.destroy();
    return undefined;
  }
  const chunks: { stdout: Buffer[]; stderr: Buffer[] } = { stdout: [], stderr: [] };
  const frames = createFrameReader((stream, chunk) => chunks[stream].push(chunk));
  for await (const chunk of body) frames.push(chunk);
  return { stdout: Buffer.concat(chunks.stdout).subarray(seen.stdout), stderr: Buffer.concat(chunks.stderr).subarray(seen.stderr) };
}
