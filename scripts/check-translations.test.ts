import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { checkTranslations, renewTranslations } from './check-translations.ts';

let root: string;
before(() => {
  root = mkdtempSync(path.join(tmpdir(), 'cloister-translations-'));
  mkdirSync(path.join(root, 'docs/zh-CN'), { recursive: true });
});
after(() => rmSync(root, { recursive: true, force: true }));

const write = (file: string, text: string) => writeFileSync(path.join(root, file), text);

it('a translation counts as one of the English page as it was, until it is brought up to date', () => {
  write('docs/deploy.md', '# Deploy\n\nOne way.\n');
  write('docs/zh-CN/deploy.md', '<!-- translation of docs/deploy.md, sha256 none -->\n\n# 部署\n');
  assert.match(checkTranslations(root).join(), /^docs\/zh-CN\/deploy\.md: docs\/deploy\.md has changed/, 'it was never held against it');
  assert.deepEqual(renewTranslations(root), ['docs/zh-CN/deploy.md']);
  assert.deepEqual(checkTranslations(root), []);
  assert.deepEqual(renewTranslations(root), [], 'it is so already');
  write('docs/deploy.md', '\n# Deploy  \n\n\nOne way.');
  assert.deepEqual(checkTranslations(root), [], 'blanks are nothing to translate');
  write('docs/deploy.md', '# Deploy\n\nTwo ways.\n');
  assert.match(checkTranslations(root).join(), /docs\/deploy\.md has changed/);
  assert.match(
    readFileSync(path.join(root, 'docs/zh-CN/deploy.md'), 'utf8'),
    /^<!-- translation of docs\/deploy\.md, sha256 [0-9a-f]{16} -->\n\n# 部署\n$/,
  );
});

it('a translation says of what it is one, and goes with its page', () => {
  write('docs/zh-CN/deploy.md', '# 部署\n');
  write('README.zh-CN.md', '<!-- translation of README.md, sha256 none -->\n');
  const [gone, unmarked, ...more] = checkTranslations(root);
  assert.equal(gone, 'README.zh-CN.md: README.md, from which it was made, is gone');
  assert.match(unmarked ?? '', /^docs\/zh-CN\/deploy\.md: its first line does not name the English page/);
  assert.deepEqual(more, []);
});
