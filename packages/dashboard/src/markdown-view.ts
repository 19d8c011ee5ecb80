import { el } from './dom.ts';
import { type Block, type Inline, parseMarkdown } from './markdown.ts';

export function renderMarkdown(source: string): DocumentFragment {
  const fragment = document.createDocumentFragment();
  fragment.append(...parseMarkdown(source).map(renderBlock));
  return fragment;
}

function renderBlock(block: Block): HTMLElement {
  switch (block.type) {
    case 'code':
      return codeBlock(block.text, block.language);
    case 'heading':
      // The page's own headings are h1 and h2.
      return el(block.level <= 2 ? 'h3' : 'h4', {}, ...block.content.map(renderInline));
    case 'list': {
      const items = block.items.map((item) => el('li', {}, ...item.map(renderInline)));
      return block.isOrdered ? el('ol', { start: block.start }, ...items) : el('ul', {}, ...items);
    }
    case 'quote':
      return el('blockquote', {}, ...block.content.map(renderInline));
    case 'paragraph':
      return el('p', {}, ...block.content.map(renderInline));
  }
}

function renderInline(inline: Inline): Node {
  switch (inline.type) {
    case 'text':
      return document.createTextNode(inline.text);
    case 'code':
      return el('code', {}, inline.text);
    case 'bold':
      return el('strong', {}, ...inline.content.map(renderInline));
    case 'italic':
      return el('em', {}, ...inline.content.map(renderInline));
    case 'link':
      return el('a', { href: inline.href, target: '_blank', rel: 'noopener noreferrer' }, inline.text);
  }
}

function codeBlock(text: string, language: string): HTMLElement {
  const copy = el('button', { type: 'button', className: 'copy', textContent: 'Copy' });
  copy.addEventListener('click', () => {
    navigator.clipboard.writeText(text).then(
      () => {
        copy.textContent = 'Copied';
      },
      () => {
        copy.textContent = 'Select and copy by hand';
      },
    );
  });
  return el(
    'div',
    { className: 'code' },
    el('div', { className: 'code-head' }, el('span', {}, language === '' ? 'text' : language), copy),
    el('pre', { tabIndex: 0 }, el('code', {}, text)),
  );
}
