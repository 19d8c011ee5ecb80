import type { Clock } from '../base/clock.ts';
import type { JsonObject } from '../base/json.ts';
import type { Logger } from '../base/log.ts';
import type { EventBus } from '../sessions/event-bus.ts';
import { toWireEvent } from '../sessions/wire.ts';
import type { Store, StoredEvent } from '../store/store.ts';

export interface EventStreamInput {
  readonly tenantId: string;
  readonly sessionId: string;
  /** Events with a greater seq are sent, the past ones first. */
  readonly after: number;
  /** Types whose previews are sent too. */
  readonly previews: ReadonlySet<string>;
}

export interface EventStreamDeps {
  readonly store: Store;
  readonly bus: EventBus;
  readonly clock: Clock;
  readonly log: Logger;
}

const KEEP_ALIVE_MS = 15_000;
/** What one reader may have unread. A slower one is cut; it comes back with its last id and misses nothing. */
const MAX_BUFFERED_BYTES = 256 * 1024;
/** A reader of the past is waited for this long per page. */
const CATCH_UP_PATIENCE_MS = 30_000;
const PAGE = 200;

const encoder = new TextEncoder();
/** One frame per event, whatever the number of readers. */
const frames = new WeakMap<StoredEvent, Uint8Array>();

/** The session's log as a text/event-stream: no gap, no double, bounded memory. */
export function eventStream(deps: EventStreamDeps, input: EventStreamInput): ReadableStream<Uint8Array> {
  const { clock } = deps;
  let cursor = input.after;
  let isLive = false;
  let isOver = false;
  let hasNews = false;
  let onRoom: (() => void) | undefined;
  let controller: ReadableStreamDefaultController<Uint8Array>;
  let cleanUp: () => void = () => undefined;

  function end(cut?: string): void {
    if (isOver) return;
    isOver = true;
    cleanUp();
    onRoom?.();
    if (cut === undefined) controller.close();
    else {
      deps.log.info({ session: input.sessionId, cursor }, cut);
      controller.error(new Error(cut));
    }
  }

  function write(frame: Uint8Array): void {
    if (isOver) return;
    controller.enqueue(frame);
    if ((controller.desiredSize ?? 0) < 0) end('a stream was cut: its reader is too slow');
  }

  function writeEvent(event: StoredEvent): void {
    cursor = event.seq;
    write(eventFrame(event));
    if (event.type === 'session.deleted') end();
  }

  function onEvents(events: readonly StoredEvent[]): void {
    hasNews = true;
    if (!isLive) return;
    for (const event of events) {
      if (event.seq <= cursor) continue;
      // Something in between is not here yet: the log has it.
      if (event.seq > cursor + 1) return void catchUp();
      writeEvent(event);
    }
  }

  function onPreview(preview: JsonObject): void {
    if (isLive && wantsPreview(preview, input.previews)) write(previewFrame(preview));
  }

  /** Reads the log until nothing new came in meanwhile; from then on events are passed on as they come. */
  async function catchUp(): Promise<void> {
    isLive = false;
    try {
      while (!isOver) {
        hasNews = false;
        const page = await deps.store.events.listAfter({ tenantId: input.tenantId, sessionId: input.sessionId, after: cursor, limit: PAGE });
        for (const event of page) {
          if (!(await room())) return end('a stream was cut: its reader does not read');
          if (isOver) return;
          writeEvent(event);
        }
        if (page.length === 0 && !hasNews) {
          isLive = true;
          return;
        }
      }
    } catch (error) {
      deps.log.warn({ err: error, session: input.sessionId }, 'a stream could not read the log');
      end('the log could not be read');
    }
  }

  /** Waits until half of the buffer is free; false when the reader takes too long. */
  async function room(): Promise<boolean> {
    if ((controller.desiredSize ?? 0) > MAX_BUFFERED_BYTES / 2) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    onRoom = () => {
      if (isOver || (controller.desiredSize ?? 0) > MAX_BUFFERED_BYTES / 2) resolve(true);
    };
    const cancel = clock.after(CATCH_UP_PATIENCE_MS, () => resolve(false));
    const result = await promise;
    cancel();
    onRoom = undefined;
    return result;
  }

  return new ReadableStream<Uint8Array>(
    {
      start(given) {
        controller = given;
        write(encoder.encode(': stream of session events\n\n'));
        const unsubscribe = deps.bus.subscribe(input.sessionId, { onEvents, onPreview });
        const stopKeepAlive = clock.every(KEEP_ALIVE_MS, () => write(encoder.encode(': keep-alive\n\n')));
        cleanUp = () => {
          unsubscribe();
          stopKeepAlive();
        };
        void catchUp();
      },
      pull() {
        onRoom?.();
      },
      cancel() {
        isOver = true;
        cleanUp();
        onRoom?.();
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark: MAX_BUFFERED_BYTES }),
  );
}

function eventFrame(event: StoredEvent): Uint8Array {
  const known = frames.get(event);
  if (known !== undefined) return known;
  const frame = encoder.encode(`id: ${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(toWireEvent(event))}\n\n`);
  frames.set(event, frame);
  return frame;
}

function previewFrame(preview: JsonObject): Uint8Array {
  return encoder.encode(`event: ${String(preview.type)}\ndata: ${JSON.stringify(preview)}\n\n`);
}

/** A start names its type; deltas belong to messages, the only ones that have any. */
function wantsPreview(preview: JsonObject, wanted: ReadonlySet<string>): boolean {
  const { event } = preview;
  if (typeof event === 'object' && event !== null && 'type' in event) return typeof event.type === 'string' && wanted.has(event.type);
  return wanted.has('agent.message');
}
