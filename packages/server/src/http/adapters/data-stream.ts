import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';

export interface DataStreamInput {
  /** The text of each frame's `data:`. Read only as fast as the client reads. */
  readonly items: AsyncIterable<string>;
  /** Ends the source when the client has gone. */
  readonly abort: AbortController;
  /** What the client is told when the source breaks off. */
  readonly onError: (error: unknown) => string;
  readonly onEnd: () => void;
}

const KEEP_ALIVE_MS = 15_000;
const encoder = new TextEncoder();

/** An answer as a text/event-stream of unnamed events. */
export function dataStream(
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
  { items, abort, onError, onEnd }: DataStreamInput,
): ReadableStream<Uint8Array> {
  const iterator = items[Symbol.asyncIterator]();
  const frame = (data: string) => encoder.encode(`data: ${data}\n\n`);
  let cancelKeepAlive: () => void = () => undefined;
  let isOver = false;
  const end = () => {
    if (isOver) return;
    isOver = true;
    cancelKeepAlive();
    abort.abort();
    onEnd();
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
        if (abort.signal.aborted) return;
        if (!next.done) return controller.enqueue(frame(next.value));
      } catch (error) {
        if (abort.signal.aborted) return;
        log.warn({ err: error }, 'a streamed answer broke off');
        controller.enqueue(frame(onError(error)));
      }
      end();
      controller.close();
    },
    async cancel() {
      // First, so that what the source waits for ends.
      end();
      await iterator.return?.();
    },
  });
}
