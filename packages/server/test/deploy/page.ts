import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.resolve(import.meta.dirname, '../../../..');

/** The block of a page's section that holds `needle`, as its reader would copy it. */
export function blockOf(page: string, heading: string, needle: string): string {
  const text = readFileSync(path.join(ROOT, page), 'utf8');
  const section = text.split(/^(?=##+ )/m).find((part) => part.startsWith(`${heading}\n`));
  assert.ok(section !== undefined, `${page} has no section ${heading}`);
  const blocks = [...section.matchAll(/^```\w*\n(.*?)^```$/gms)].map(([, body = '']) => body);
  const found = blocks.find((block) => block.includes(needle));
  assert.ok(found !== undefined, `${page}, ${heading}: no block has ${needle}`);
  return found;
}
