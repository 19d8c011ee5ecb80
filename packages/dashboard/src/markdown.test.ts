import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseInline, parseMarkdown } from './markdown.ts';

describe('parseMarkdown', () => {
  it('reads blocks', () => {
    const blocks = parseMarkdown('# Title\nText\nmore\n\n- a\n- b\n  goes on\n\n3. c\n\n> quoted\n```sh\nls -la\n```\nafter');
    assert.deepEqual(
      blocks.map((block) => block.type),
      ['heading', 'paragraph', 'list', 'list', 'quote', 'code', 'paragraph'],
    );
    assert.deepEqual(blocks[2], {
      type: 'list',
      isOrdered: false,
      start: 1,
      items: [[{ type: 'text', text: 'a' }], [{ type: 'text', text: 'b\ngoes on' }]],
    });
    assert.deepEqual(blocks[3], { type: 'list', isOrdered: true, start: 3, items: [[{ type: 'text', text: 'c' }]] });
    assert.deepEqual(blocks[5], { type: 'code', language: 'sh', text: 'ls -la' });
  });

  it('closes a code block that is still being written', () => {
    assert.deepEqual(parseMarkdown('```js\nlet a'), [{ type: 'code', language: 'js', text: 'let a' }]);
  });

  it('keeps markup inside code blocks as it is', () => {
    assert.deepEqual(parseMarkdown('```\n# no\n- **no**\n```'), [{ type: 'code', language: '', text: '# no\n- **no**' }]);
  });

  it('ends for any text', () => {
    for (const text of ['', '\n\n', '```', '- ', '>', '**', '[](', '`', '# ', '1.', '~~~\n```']) parseMarkdown(text);
  });
});

describe('parseInline', () => {
  it('reads code, bold, italics and links', () => {
    assert.deepEqual(parseInline('a `b*c*` **d `e`** *f* [g](https://h.example/i)'), [
      { type: 'text', text: 'a ' },
      { type: 'code', text: 'b*c*' },
      { type: 'text', text: ' ' },
      {
        type: 'bold',
        content: [
          { type: 'text', text: 'd ' },
          { type: 'code', text: 'e' },
        ],
      },
      { type: 'text', text: ' ' },
      { type: 'italic', content: [{ type: 'text', text: 'f' }] },
      { type: 'text', text: ' ' },
      { type: 'link', href: 'https://h.example/i', text: 'g' },
    ]);
  });

  it('links bare addresses without the full stop', () => {
    assert.deepEqual(parseInline('See http://127.0.0.1:3000/docs.')[1], {
      type: 'link',
      href: 'http://127.0.0.1:3000/docs',
      text: 'http://127.0.0.1:3000/docs',
    });
  });

  it('leaves other schemes as text', () => {
    for (const target of ['javascript:alert(1)', 'data:text/html,x', 'vbscript:x', '//evil.example'])
      assert.deepEqual(parseInline(`[x](${target})`), [{ type: 'text', text: `[x](${target})` }]);
  });

  it('takes bounded time on text made to be slow', () => {
    const started = performance.now();
    for (const piece of ['**a ', '`', '[', '*a ', '_a ', '[a](', '`a', '~~~', '> ', 'http://'])
      parseMarkdown(piece.repeat(50_000 / piece.length));
    assert.ok(performance.now() - started < 5000);
  });

  it('leaves snake_case and lone stars alone', () => {
    assert.deepEqual(parseInline('a snake_case_name and 2 * 3 * 4'), [{ type: 'text', text: 'a snake_case_name and 2 * 3 * 4' }]);
  });
});
