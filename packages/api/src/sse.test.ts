import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createSseParser, type ServerSentEvent } from './sse.ts';

const TEXT =
  ': hello\n\nid: 1\nevent: a\ndata: {"x":\ndata: 1}\n\nid:2\rdata:two\r\rdata: three\r\nid: 3\r\n\r\n: keep-alive\n\nid: 4\n\ndata\n\n';
const EXPECTED: readonly ServerSentEvent[] = [
  { id: '1', event: 'a', data: '{"x":\n1}' },
  { id: '2', event: undefined, data: 'two' },
  { id: '3', event: undefined, data: 'three' },
  { id: undefined, event: undefined, data: '' },
];

describe('the reader of event streams', () => {
  it('reads the same events however the text is cut', () => {
    for (let size = 1; size <= TEXT.length; size++) {
      const parser = createSseParser();
      const events: ServerSentEvent[] = [];
      for (let at = 0; at < TEXT.length; at += size) events.push(...parser.push(TEXT.slice(at, at + size)));
      assert.deepEqual(events, EXPECTED, `pieces of ${size}`);
    }
  });

  it('keeps an event back until it is complete', () => {
    const parser = createSseParser();
    assert.deepEqual(parser.push('data: a\n'), []);
    assert.deepEqual(parser.push('\n'), [{ id: undefined, event: undefined, data: 'a' }]);
  });
});
