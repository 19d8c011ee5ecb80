import assert from 'node:assert/strict';
import type { Shown } from './pages.ts';

/** Holds what was printed to what the page shows: the same words, with other ids, numbers and times. */
export function assertShape(printed: string, shown: Shown): void {
  if (shown.language === 'json') assertJson(JSON.parse(printed), JSON.parse(shown.body), '');
  else assert.match(tidy(printed), pattern(tidy(shown.body)));
}

const tidy = (text: string) =>
  text
    .split('\n')
    .map((line) => line.trim().replaceAll(/[ \t]+/g, ' '))
    .filter((line) => line !== '')
    .join('\n');

/** What is another each time: ids, versions, dates, sums. A single digit is meant as it stands. */
const VARIABLE = /(?:[a-z]+_)?[0-9a-f]{12,}|[a-z]+_[0-9a-z]*…|…|\d[\d.:,-]*\d/g;

const literal = (text: string) => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');

function pattern(shown: string): RegExp {
  const lines = shown.split('\n').map((line) => {
    let [at, source] = [0, ''];
    for (const match of line.matchAll(VARIABLE)) {
      source += `${literal(line.slice(at, match.index))}${match[0].startsWith('…') ? '.*' : '\\S+'}`;
      at = match.index + match[0].length;
    }
    return source + literal(line.slice(at));
  });
  return new RegExp(`^${lines.join('\\n(?:.*\\n)*?')}`, 'm');
}

/** What the page shows has to be there; more may be. */
function assertJson(actual: unknown, shown: unknown, where: string): void {
  if (Array.isArray(shown)) {
    assert.ok(Array.isArray(actual), `${where} is a list`);
    for (const [index, one] of shown.entries()) assertJson(actual[index], one, `${where}/${index}`);
  } else if (typeof shown === 'object' && shown !== null) {
    assert.ok(typeof actual === 'object' && actual !== null, `${where} is an object`);
    const entries = new Map<string, unknown>(Object.entries(actual));
    for (const [name, one] of Object.entries(shown)) {
      assert.ok(entries.has(name), `${where}/${name} is there`);
      assertJson(entries.get(name), one, `${where}/${name}`);
    }
  } else if (typeof shown === 'string') {
    assert.ok(typeof actual === 'string', `${where} is a text`);
    assert.match(actual, new RegExp(`${pattern(shown).source}$`), where);
  } else assert.equal(typeof actual, typeof shown, where);
}
