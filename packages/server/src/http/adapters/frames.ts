import { toPlatformError } from '../../base/errors.ts';
import type { HttpDeps } from '../context.ts';

export interface FramesInput {
  /** Each is written as it is. */
  readonly frames: AsyncIterable<string>;
  /** Ends the source when the client has gone. */
  readonly abort: AbortController;
  /** The last frame when the source fails. */
  readonly onError: (error: unknown) => string;
  /** Once, however it ends. */
  readonly onEnd: (how: 'finished' | 'left') => void;
}

const KEEP_ALIVE_MS = 15_000;
const encoder = new TextEncoder();

/** A text/event-stream in an adapter's own words, read only as fast as its client reads. */
export function frameStream({ clock, log }: Pick<HttpDeps, 'clock' | 'log'>, input: FramesInput): ReadableStream<Uint8Array> {
  const iterator = input.frames[Symbol.asyncIterator]();
  let cancelKeepAlive: () => void = () => undefined;
  const end = (how: 'finished' | 'left') => {
    cancelKeepAlive();
    input.abort.abort();
    input.onEnd(how);
  };
  return new ReadableStream<Uint8Array>({
    start(controller) {
      cancelKeepAlive = clock.every(KEEP_ALIVE_MS, () => {
        if ((controller.desiredSize ?? 0) > 0) controller.enqueue(encoder.encode(': keep-alive\n\n'));
      });
    },
    async pull(controller) {
      try {
        const next = await iterator.next();
        if (!next.done) return controller.enqueue(encoder.encode(next.value));
      } catch (error) {
        if (input.abort.signal.aborted) return;
        if (toPlatformError(error).code === 'bug') log.error({ err: error }, 'a stream failed for a reason of our own');
        controller.enqueue(encoder.encode(input.onError(error)));
      }
      if (input.abort.signal.aborted) return;
      end('finished');
      controller.close();
    },
    cancel() {
      // The source is told by the signal: it may be waiting for what does not come.
      end('left');
    },
  });
}

export const STREAM_HEADERS = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  'Cache-Control': 'no-cache, no-transform',
  'X-Accel-Buffering': 'no',
};
