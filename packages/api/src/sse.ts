/** One event of a text/event-stream, with the fields that were there. */
export interface ServerSentEvent {
  readonly id: string | undefined;
  readonly event: string | undefined;
  readonly data: string;
}

/**
 * Reads a text/event-stream as the HTML standard defines it (section 9.2.6), for the fields we use.
 * Feed it pieces as they come; it answers the events that are complete by then.
 */
export function createSseParser(): { push(text: string): ServerSentEvent[] } {
  let buffer = '';
  let id: string | undefined;
  let event: string | undefined;
  let data: string[] = [];

  function line(text: string): ServerSentEvent | undefined {
    if (text === '') {
      const result = data.length === 0 ? undefined : { id, event, data: data.join('\n') };
      id = undefined;
      event = undefined;
      data = [];
      return result;
    }
    const colon = text.indexOf(':');
    if (colon === 0) return undefined;
    const field = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? '' : text.slice(text[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'data') data.push(value);
    else if (field === 'id') id = value;
    else if (field === 'event') event = value;
    return undefined;
  }

  return {
    push(text) {
      buffer += text;
      // A carriage return at the end may be half of a CRLF whose other half is still to come.
      const end = buffer.endsWith('\r') ? buffer.length - 1 : buffer.length;
      const lines = buffer.slice(0, end).split(/\r\n|\n|\r/);
      const rest = lines.pop() ?? '';
      buffer = rest + buffer.slice(end);
      return lines.map(line).filter((one) => one !== undefined);
    },
  };
}
