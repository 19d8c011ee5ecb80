import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';

export interface LineStreamInput {
  /** Each becomes one frame. Read only as fast as the client reads. */
  readonly items: AsyncIterable<object>;
  /** The frames' `event:`. */
  readonly event: string;
  /** Ends the source when the client has gone. */
  readonly abort: AbortController;
  readonly onEnd: () => void;
}

const KEEP_ALIVE_MS = 15_000;
const encoder = new TextEncoder();

/** What comes out of a container as a text/event-stream: not kept, so there is nothing to resume from. */
export function lineStream(
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
  input: LineStreamInput,
): ReadableStream<Uint8Array> {
  const { items, event, abort, onEnd } = input;
  const iterator = items[Symbol.asyncIterator]();
  let cancelKeepAlive: () => void = () => undefined;
  const end = () => {
    cancelKeepAlive();
    abort.abort();
    onEnd();
  };
  return new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(encoder.encode(`: stream of ${event}\n\n`));
      cancelKeepAlive = clock.every(KEEP_ALIVE_MS, () => {
        if ((controller.desiredSize ?? 0) > 0) controller.enqueue(encoder.encode(': keep-alive\n\n'));
      });
    },
    async pull(controller) {
      try {
        const next = await iterator.next();
        if (!next.done) return controller.enqueue(encoder.encode(`event: ${event}\ndata: ${JSON.stringify(next.value)}\n\n`));
      } catch (error) {
        if (!abort.signal.aborted) log.warn({ err: error }, 'a stream out of a container broke off');
      }
      if (abort.signal.aborted) return;
      end();
      controller.close();
    },
    async cancel() {
      end();
      await iterator.return?.();
    },
  });
}
