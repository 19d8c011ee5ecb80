const MAX_NAME = 200;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const COMMA = 0x2c;
const OPENING = new Set([0x7b, 0x5b]);
const CLOSING = new Set([0x7d, 0x5d]);

/**
 * Finds the top-level `model` of a JSON body while it passes, without holding the body: requests
 * may be tens of megabytes, and a sandbox may send many at once. Calls `found` at most once.
 */
export function createModelNameScanner(found: (name: string) => void): (chunk: Buffer) => void {
  let depth = 0;
  let isInString = false;
  let isEscaped = false;
  let isKey = false;
  let isDone = false;
  let key = '';
  let captured = '';
  const endString = () => {
    isInString = false;
    if (depth !== 1) return;
    if (isKey) key = captured;
    else if (key === 'model' && captured !== '') {
      isDone = true;
      found(captured);
    }
  };
  const inString = (byte: number) => {
    if (isEscaped) isEscaped = false;
    else if (byte === BACKSLASH) isEscaped = true;
    else if (byte === QUOTE) endString();
    else if (depth === 1 && captured.length < MAX_NAME) captured += String.fromCharCode(byte);
  };
  const between = (byte: number) => {
    if (byte === QUOTE) {
      isInString = true;
      captured = '';
    } else if (OPENING.has(byte)) isKey = ++depth === 1;
    else if (CLOSING.has(byte)) depth--;
    else if (depth === 1 && byte === COLON) isKey = false;
    else if (depth === 1 && byte === COMMA) isKey = true;
  };
  return (chunk) => {
    for (let index = 0; index < chunk.length && !isDone; index++) {
      const byte = chunk[index] ?? 0;
      if (isInString) inString(byte);
      else between(byte);
    }
  };
}
