import type { Json } from './json.ts';
import type { Answer, Entry } from './script.ts';

/** One answer as the frames of a stream, in the order they are sent. */
export interface Frames {
  /** Up to the first event that a client must see. */
  readonly opening: readonly string[];
  /** One for each piece of text. */
  readonly pieces: readonly string[];
  /** The rest of the content. */
  readonly content: readonly string[];
  /** What tells the client that the answer is whole. */
  readonly final: readonly string[];
}

export interface RenderContext {
  /** Unique per request; ids in the answer are made of it. */
  readonly seq: number;
  readonly body: Json;
}

/** One provider's way of putting requests and answers. */
export interface Wire {
  readonly name: string;
  readEntries(body: Json): readonly Entry[];
  isStream(body: Json, path: string): boolean;
  renderStream(answer: Answer, context: RenderContext): Frames;
  renderWhole(answer: Answer, context: RenderContext): Json;
  renderError(status: number, message: string): Json;
  /** The frame of an error in the middle of a stream. */
  renderStreamError(type: string): string;
}

/** An event of a server-sent-event stream. */
export function frame(data: Json, event?: string): string {
  return `${event === undefined ? '' : `event: ${event}\n`}data: ${JSON.stringify(data)}\n\n`;
}
