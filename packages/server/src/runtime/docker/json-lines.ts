import { StringDecoder } from 'node:string_decoder';
import type { JsonValue } from '../../base/json.ts';

const MAX_LINE_CHARACTERS = 4 * 1024 * 1024;

/** Yields each line of a stream parsed as JSON; lines that are none are passed over. */
export async function* readJsonLines(stream: AsyncIterable<Buffer>): AsyncGenerator<JsonValue> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for await (const chunk of stream) {
    rest += decoder.write(chunk);
    if (rest.length > MAX_LINE_CHARACTERS) throw new Error('the engine sent a line without end');
    let start = 0;
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n', start)) {
      const value = parseJson(rest.slice(start, end).trim());
      start = end + 1;
      if (value !== undefined) yield value;
    }
    rest = rest.slice(start);
  }
  const last = parseJson((rest + decoder.end()).trim());
  if (last !== undefined) yield last;
}

export async function readText(stream: AsyncIterable<Buffer>, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new Error(`engine answer over ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

export function parseJson(text: string): JsonValue | undefined {
  if (text === '') return undefined;
  try {
    return JSON.parse(text) as JsonValue; // what JSON can hold, by definition
  } catch {
    // Proxies in front of an engine answer in HTML; the status says enough.
    return undefined;
  }
}
