import type { Usage } from '../store/store.ts';
import { failureOfEvent } from './failures.ts';
import type { ModelFailure } from './gateway.ts';
import { isRecord, parseJson } from './json.ts';
import type { ModelWire, Reading } from './wires/wire.ts';

/** Above this a single event, or a whole body, passes unread: the bytes go on, the counts may be missing. */
const MAX_HELD = 4 * 1024 * 1024;

/**
 * Reads the counts, the end and the errors out of an answer as it passes. It never holds a byte
 * back: it is shown copies, and remembers at most one event.
 */
export interface Meter {
  push(chunk: Buffer): void;
  /** Call once after the last byte. */
  end(): void;
  usage(): Usage;
  model(): string | null;
  /** The wire's own sign of a whole answer was seen. */
  isComplete(): boolean;
  /** Nothing more can follow, counts included. */
  isFinal(): boolean;
  /** True between two events, where another event may be put in. */
  isBetweenEvents(): boolean;
  /** What the provider said went wrong, or what is wrong with what it sent. */
  failure(): ModelFailure | undefined;
}

export function createMeter(wire: ModelWire, isStream: boolean): Meter {
  const reading: Reading = {
    inputTokens: 0,
    outputTokens: 0,
    cacheReadTokens: 0,
    cacheCreationTokens: 0,
    model: null,
    isComplete: false,
    isFinal: false,
    error: undefined,
  };
  const format = { isBroken: false };
  const reader = isStream ? streamReader(wire, reading, format) : wholeReader(wire, reading, format);
  const decoder = new TextDecoder();
  return {
    push: (chunk) => reader.push(decoder.decode(chunk, { stream: true })),
    end() {
      reader.push(decoder.decode());
      reader.end();
    },
    usage: () => ({
      inputTokens: reading.inputTokens,
      outputTokens: reading.outputTokens,
      cacheReadTokens: reading.cacheReadTokens,
      cacheCreationTokens: reading.cacheCreationTokens,
    }),
    model: () => reading.model,
    isComplete: () => reading.isComplete,
    isFinal: () => reading.isFinal,
    isBetweenEvents: () => isStream && reader.isBetweenEvents(),
    failure() {
      if (reading.error !== undefined) return failureOfEvent(reading.error);
      return format.isBroken ? MALFORMED : undefined;
    },
  };
}

const MALFORMED: ModelFailure = {
  code: 'model_api_failed',
  message: 'The provider sent an answer that is not valid JSON.',
  status: null,
  retryAfterMs: null,
};

interface Reader {
  push(text: string): void;
  end(): void;
  isBetweenEvents(): boolean;
}

interface Format {
  isBroken: boolean;
}

/** Server-sent events: `data:` lines up to a blank one. */
function streamReader(wire: ModelWire, reading: Reading, format: Format): Reader {
  let rest = '';
  let data = '';
  let isTooLong = false;
  const dispatch = () => {
    const event = data;
    data = '';
    if (isTooLong) {
      // What could not be read may have been the end: nobody is accused of a cut on that ground.
      isTooLong = false;
      reading.isComplete = true;
      return;
    }
    if (event === '') return;
    if (event === '[DONE]') {
      reading.isComplete = true;
      reading.isFinal = true;
      return;
    }
    const parsed = parseJson(event);
    if (isRecord(parsed)) wire.readEvent(parsed, reading);
    else format.isBroken = true;
  };
  const readLine = (line: string) => {
    if (line === '') return dispatch();
    if (!line.startsWith('data:')) return;
    const value = line.slice(line[5] === ' ' ? 6 : 5);
    if (data.length + value.length > MAX_HELD) isTooLong = true;
    else data += data === '' ? value : `\n${value}`;
  };
  return {
    push(text) {
      const lines = text.split('\n');
      const last = lines.pop() ?? '';
      for (const line of lines) {
        const whole = rest + line;
        rest = '';
        readLine(whole.endsWith('\r') ? whole.slice(0, -1) : whole);
      }
      // A line that never ends is kept only by its beginning, so that memory stays bounded.
      if (rest.length + last.length > MAX_HELD) isTooLong = true;
      else rest += last;
    },
    end() {
      if (rest !== '') readLine(rest);
      dispatch();
    },
    isBetweenEvents: () => rest === '' && data === '',
  };
}

function wholeReader(wire: ModelWire, reading: Reading, format: Format): Reader {
  let body = '';
  let isTooLong = false;
  return {
    push(text) {
      if (body.length + text.length > MAX_HELD) isTooLong = true;
      else body += text;
    },
    end() {
      if (isTooLong) {
        reading.isComplete = true;
        return;
      }
      const parsed = parseJson(body);
      if (typeof parsed === 'object' && parsed !== null) wire.readWhole(parsed, reading);
      else format.isBroken = true;
    },
    isBetweenEvents: () => false,
  };
}
