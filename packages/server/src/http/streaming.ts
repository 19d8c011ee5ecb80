import type { Clock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import type { Refusals } from '../base/refusals.ts';
import type { AppContext } from './context.ts';

/** How long a body may pause. */
const BODY_IDLE_MS = 30_000;

/** The request's body as it comes. Throws `body_timeout` when nothing comes for long; whoever reads it bounds it. */
export async function* bodyChunks(
  c: AppContext,
  { clock, refusals }: { readonly clock: Clock; readonly refusals: Refusals },
): AsyncGenerator<Uint8Array> {
  const reader = c.req.raw.body?.getReader();
  if (reader === undefined) return;
  let isRead = false;
  try {
    for (;;) {
      const { promise, resolve, reject } = Promise.withResolvers<Awaited<ReturnType<typeof reader.read>>>();
      const cancel = clock.after(BODY_IDLE_MS, () =>
        reject(refusals.refuse('slow_body', { detail: `Nothing of the body came for ${BODY_IDLE_MS / 1000} seconds.` })),
      );
      reader.read().then(resolve, reject);
      const next = await promise.catch(bodyBroken).finally(cancel);
      if (next.done) {
        isRead = true;
        return;
      }
      yield next.value;
    }
  } finally {
    // Not awaited: whoever sends it may never stop.
    if (!isRead) reader.cancel().catch(() => undefined);
  }
}

function bodyBroken(cause: unknown): never {
  if (cause instanceof PlatformError) throw cause;
  throw new PlatformError('request_invalid', { detail: 'The body broke off.', cause });
}

/** A body for an answer. `onEnd` is called once, however it ends: read to the end, broken off or never begun. */
export function toBody(chunks: AsyncIterator<Uint8Array>, onEnd: () => Promise<void>): ReadableStream<Uint8Array> {
  let isEnded = false;
  const end = async () => {
    if (isEnded) return;
    isEnded = true;
    await onEnd();
  };
  return new ReadableStream(
    {
      async pull(controller) {
        try {
          const next = await chunks.next();
          if (next.done !== true) return controller.enqueue(next.value);
          await end();
          controller.close();
        } catch (error) {
          await end();
          throw error;
        }
      },
      async cancel() {
        try {
          await chunks.return?.();
        } finally {
          await end();
        }
      },
    },
    { highWaterMark: 0 },
  );
}

export interface ByteRange {
  readonly start: number;
  readonly length: number;
  readonly isPart: boolean;
}

/** What a `Range` header asks for. Forms other than one range of bytes are as no header, as RFC 9110 lets. Throws `range_invalid`. */
export function parseRange(header: string | undefined, size: number): ByteRange {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  const [, from = '', to = ''] = match ?? [];
  if (from === '' && to === '') return { start: 0, length: size, isPart: false };
  const start = from === '' ? Math.max(0, size - Number(to)) : Number(from);
  const end = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1);
  if (from !== '' && to !== '' && Number(to) < Number(from)) return { start: 0, length: size, isPart: false };
  if (start >= size || end < start) throw new PlatformError('range_invalid', { detail: `The file has ${size} bytes.` });
  return { start, length: end - start + 1, isPart: true };
}
