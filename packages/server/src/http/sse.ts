import type { StreamReset } from '@cloister/api';
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
  /** The last seq there was when the reader came; up to it, what is not in the log is no longer kept. */
  readonly head?: number | undefined;
  /** Types whose previews are sent too. */
  readonly previews: ReadonlySet<string>;
  /** Called once, when the reader has gone or was sent away. */
  readonly onEnd?: (() => void) | undefined;
  /** Ends the connection at once; an orderly end would wait for a reader that does not read. */
  readonly cut?: (() => void) | undefined;
}

export interface EventStreamDeps {
  readonly store: Store;
  readonly bus: EventBus;
  readonly clock: Clock;
  readonly log: Logger;
}

const KEEP_ALIVE_MS = 15_000;
/** What one reader may have unread before it is sent anything more; one event of any size comes on top. */
const MAX_BUFFERED_BYTES = 256 * 1024;
/** A reader whose buffer stays full for this long is cut; it comes back with its last id and misses nothing. */
const PATIENCE_MS = 30_000;
/** Pages of the log begin small and grow while their events are, so that a page of large ones fits in memory. */
const PAGE = { first: 8, most: 200, growsBelowBytes: 64 * 1024 } as const;

const encoder = new TextEncoder();
/** One frame per event, whatever the number of readers. */
const frames = new WeakMap<StoredEvent, Uint8Array>();

let cut = 0;

/** How many readers this process has cut since its start. */
export function cutReaders(): number {
  return cut;
}

/** The session's log as a text/event-stream: no gap, no double, bounded memory. */
export function eventStream(deps: EventStreamDeps, input: EventStreamInput): ReadableStream<Uint8Array> {
  const reader = new StreamReader(deps, input);
  return new ReadableStream<Uint8Array>(
    { start: (controller) => reader.start(controller), pull: () => reader.onPull(), cancel: () => reader.onCancel() },
    new ByteLengthQueuingStrategy({ highWaterMark: MAX_BUFFERED_BYTES }),
  );
}

/** One reader of a session: replays the log, then passes on what is committed. */
class StreamReader {
  private readonly deps: EventStreamDeps;
  private readonly input: EventStreamInput;
  private cursor: number;
  private isLive = false;
  private isOver = false;
  private hasNews = false;
  private onRoom: (() => void) | undefined;
  private controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  private cleanUp: () => void = () => undefined;

  constructor(deps: EventStreamDeps, input: EventStreamInput) {
    this.deps = deps;
    this.input = input;
    this.cursor = input.after;
  }

  start(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.controller = controller;
    this.write(encoder.encode(': stream of session events\n\n'));
    const unsubscribe = this.deps.bus.subscribe(this.input, {
      onEvents: (events) => this.onEvents(events),
      onPreview: (preview) => this.onPreview(preview),
    });
    const stopKeepAlive = this.deps.clock.every(KEEP_ALIVE_MS, () => {
      // What is unread keeps the connection alive by itself.
      if (this.hasRoom()) this.write(encoder.encode(': keep-alive\n\n'));
    });
    this.cleanUp = () => {
      unsubscribe();
      stopKeepAlive();
    };
    void this.catchUp();
  }

  onPull(): void {
    this.onRoom?.();
  }

  onCancel(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.cleanUp();
    this.onRoom?.();
    this.input.onEnd?.();
  }

  private end(why?: string): void {
    if (this.isOver) return;
    this.onCancel();
    if (why === undefined) this.controller?.close();
    else {
      this.deps.log.info({ session: this.input.sessionId, cursor: this.cursor }, why);
      // The HTTP adapter would print the error of a stream that fails; of a connection that ends it says nothing.
      if (this.input.cut === undefined) this.controller?.error(new Error(why));
      else this.input.cut();
    }
  }

  private write(frame: Uint8Array): void {
    if (!this.isOver) this.controller?.enqueue(frame);
  }

  private hasRoom(): boolean {
    return (this.controller?.desiredSize ?? 0) > MAX_BUFFERED_BYTES / 2;
  }

  /** Answers how large it was. */
  private writeEvent(event: StoredEvent): number {
    const frame = eventFrame(event);
    this.cursor = event.seq;
    this.write(frame);
    if (event.type === 'session.deleted') this.end();
    return frame.byteLength;
  }

  private onEvents(events: readonly StoredEvent[]): void {
    this.hasNews = true;
    // The one event that is in no log to catch up with.
    const removal = events.find((event) => event.type === 'session.deleted');
    if (removal !== undefined) this.writeEvent(removal);
    if (!this.isLive || this.isOver) return;
    for (const event of events) {
      if (event.seq <= this.cursor) continue;
      // Something in between is not here yet, or the reader is behind: the log has it when there is room.
      if (event.seq > this.cursor + 1 || !this.hasRoom()) return void this.catchUp();
      this.writeEvent(event);
    }
  }

  private onPreview(preview: JsonObject): void {
    if (this.isLive && this.hasRoom() && wantsPreview(preview, this.input.previews)) this.write(previewFrame(preview));
  }

  /** Reads the log until nothing new came in meanwhile; from then on events are passed on as they come. */
  private async catchUp(): Promise<void> {
    const { tenantId, sessionId } = this.input;
    this.isLive = false;
    let limit: number = PAGE.first;
    try {
      while (!this.isOver && !this.isLive) {
        this.hasNews = false;
        const page = await this.deps.store.events.listAfter({ tenantId, sessionId, after: this.cursor, limit });
        this.tellOfGap(page[0]?.seq ?? (this.input.head ?? 0) + 1);
        const bytes = await this.writePage(page);
        if (bytes === undefined) {
          cut++;
          return this.end('a stream was cut: its reader does not read');
        }
        limit = bytes < PAGE.growsBelowBytes ? Math.min(limit * 2, PAGE.most) : PAGE.first;
        this.isLive = page.length === 0 && !this.hasNews;
      }
    } catch (error) {
      this.deps.log.warn({ err: error, session: sessionId }, 'a stream could not read the log');
      this.end('the log could not be read');
    }
  }

  /** A log has no gap, so what is missing before `firstSeq` was removed. */
  private tellOfGap(firstSeq: number): void {
    if (firstSeq <= this.cursor + 1) return;
    this.cursor = firstSeq - 1;
    this.write(resetFrame(firstSeq));
  }

  /** How many bytes it was; undefined when the reader does not take it. */
  private async writePage(page: readonly StoredEvent[]): Promise<number | undefined> {
    let bytes = 0;
    for (const event of page) {
      if (!(await this.room())) return undefined;
      if (!this.isOver) bytes += this.writeEvent(event);
    }
    return bytes;
  }

  /** Waits until half of the buffer is free; false when the reader takes too long. */
  private async room(): Promise<boolean> {
    if (this.isOver || this.hasRoom()) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.onRoom = () => {
      if (this.isOver || this.hasRoom()) resolve(true);
    };
    const cancel = this.deps.clock.after(PATIENCE_MS, () => resolve(false));
    const result = await promise;
    cancel();
    this.onRoom = undefined;
    return result;
  }
}

function eventFrame(event: StoredEvent): Uint8Array {
  const known = frames.get(event);
  if (known !== undefined) return known;
  const frame = encoder.encode(`id: ${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(toWireEvent(event))}\n\n`);
  frames.set(event, frame);
  return frame;
}

/** Its id is where the reader is now, so that coming back with it begins at the first event there is. */
function resetFrame(firstSeq: number): Uint8Array {
  const reset: StreamReset = { type: 'stream.reset', first_seq: firstSeq };
  return encoder.encode(`id: ${firstSeq - 1}\nevent: ${reset.type}\ndata: ${JSON.stringify(reset)}\n\n`);
}

function previewFrame(preview: JsonObject): Uint8Array {
  return encoder.encode(`event: ${preview.type === 'event_start' ? 'event_start' : 'event_delta'}\ndata: ${JSON.stringify(preview)}\n\n`);
}

/** A start names its type; deltas belong to messages, the only ones that have any. */
function wantsPreview(preview: JsonObject, wanted: ReadonlySet<string>): boolean {
  const { event } = preview;
  if (typeof event === 'object' && event !== null && 'type' in event) return typeof event.type === 'string' && wanted.has(event.type);
  return wanted.has('agent.message');
}
