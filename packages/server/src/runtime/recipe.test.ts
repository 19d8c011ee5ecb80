import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { stagesFor } from './recipe.ts';

const SANDBOX = readFileSync(path.resolve(import.meta.dirname, '../../../agent-runner/image/Dockerfile'), 'utf8');
const stagesOf = (recipe: string) => [...recipe.matchAll(/^FROM \S+ AS (\S+)$/gm)].map(([, name]) => name);

test('each variant of the sandbox is made from its own stages alone', () => {
  assert.deepEqual(stagesOf(stagesFor(SANDBOX, 'minimal')), ['base', 'minimal']);
  assert.deepEqual(stagesOf(stagesFor(SANDBOX, 'default')), ['base', 'tools', 'default']);
  assert.deepEqual(stagesOf(stagesFor(SANDBOX, 'claude')), ['base', 'tools', 'claude-agent', 'claude']);
  assert.deepEqual(stagesOf(stagesFor(SANDBOX, 'full')), ['base', 'tools', 'browser', 'full']);
  for (const target of ['minimal', 'full']) assert.match(stagesFor(SANDBOX, target), /^ARG BASE_IMAGE=node:24-bookworm-slim\n/);
});

test('what a stage copies from is kept, and a recipe without the stage stays whole', () => {
  const recipe = 'FROM a AS one\nRUN x\nFROM b AS two\nFROM c AS three\nCOPY --from=one /x /x\n';
  assert.deepEqual(stagesOf(stagesFor(recipe, 'three')), ['one', 'three']);
  assert.equal(stagesFor(recipe, 'four'), recipe);
  assert.equal(stagesFor('FRUM a\n', 'default'), 'FRUM a\n');
});
