import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import { silentLogger } from '../base/log.ts';
import { createBench } from './conformance/bench.ts';
import { posixCommand } from './conformance/scenarios.ts';
import { ensureDefaultImage } from './default-image.ts';
import { createDockerDriver } from './docker/driver.ts';
import { createEngine } from './docker/engine.ts';
import { imageDetails, removeImage } from './docker/image.ts';
import { testEngine } from './docker/test-engine.ts';
import { ensureSandboxImage } from './image.ts';

const RECIPE = path.resolve(import.meta.dirname, '../../../agent-runner/image');
const found = await testEngine();
const skip = found.ok ? false : found.reason;

function setup(dockerfile?: string) {
  const folder = mkdtempSync(path.join(tmpdir(), 'cloister-image-'));
  const runnerDir = path.join(folder, 'runner');
  mkdirSync(runnerDir);
  writeFileSync(path.join(runnerDir, 'supervisor.mjs'), 'console.log("first")');
  if (dockerfile !== undefined) writeFileSync(path.join(folder, 'Dockerfile'), dockerfile);
  const engine = createEngine({ clock: systemClock });
  const tag = `cloister-image-test:${newId('sandbox')}`;
  const lines: string[] = [];
  return {
    runnerDir,
    engine,
    tag,
    lines,
    ensure: (more: { readonly force?: boolean } = {}) =>
      ensureSandboxImage({
        variant: 'minimal',
        tag,
        recipeDir: dockerfile === undefined ? RECIPE : folder,
        runnerDir,
        onProgress: (line) => lines.push(line),
        ...more,
      }),
    async [Symbol.asyncDispose]() {
      await removeImage(engine, tag);
      engine.close();
      rmSync(folder, { recursive: true });
    },
  };
}

test('the image is built once, and again when its programs change', { skip }, async () => {
  await using part = setup();
  assert.deepEqual(await part.ensure(), { isBuilt: true });
  assert.ok(
    part.lines.some((line) => /ARG BASE_IMAGE=node:24-bookworm-slim/.test(line)),
    part.lines.join('\n'),
  );
  const first = await imageDetails(part.engine, part.tag);
  part.lines.length = 0;
  assert.deepEqual(await part.ensure(), { isBuilt: false });
  assert.deepEqual(part.lines, [], 'nothing is said when there is nothing to do');

  writeFileSync(path.join(part.runnerDir, 'supervisor.mjs'), 'console.log("second", process.cwd(), process.getuid(), process.env.HOME)');
  assert.deepEqual(await part.ensure(), { isBuilt: true });
  assert.notEqual((await imageDetails(part.engine, part.tag))?.id, first?.id);
  assert.equal(await imageDetails(part.engine, first?.id ?? ''), undefined, 'the outdated image is removed');

  const kept = `${part.tag}-kept`;
  const second = await imageDetails(part.engine, part.tag);
  const [repo, tag] = kept.split(':');
  await part.engine.call({ method: 'POST', path: `/images/${part.tag}/tag`, query: { repo, tag } });
  writeFileSync(path.join(part.runnerDir, 'forwarder.mjs'), '');
  assert.deepEqual(await part.ensure(), { isBuilt: true });
  assert.equal((await imageDetails(part.engine, kept))?.id, second?.id, "an image with somebody's other tag stays");
  await removeImage(part.engine, kept);

  const bench = createBench({
    name: 'image',
    createDriver: () => createDockerDriver({ log: silentLogger }),
    command: posixCommand,
    image: part.tag,
  });
  const { stdout } = await bench.run(bench.spec({ argv: ['node', '/opt/cloister/supervisor.mjs'] }, { cwd: '/workspace' }));
  assert.equal(stdout.toString(), 'second /workspace 1000 /home/agent\n');
  await bench.cleanUp();
  await bench.close();
});

test('a build that fails says so with its last output', { skip }, async () => {
  await using part = setup('FROM node:24-bookworm-slim AS minimal\nRUN echo the last words && exit 3\n');
  await assert.rejects(
    part.ensure(),
    (error) => isPlatformError(error, 'image_build_failed') && /the last words/.test(error.detail) && /code: 3/.test(error.detail),
  );
  await using malformed = setup('FRUM node\n');
  await assert.rejects(malformed.ensure(), (error) => isPlatformError(error, 'image_build_failed') && /FRUM/i.test(error.detail));
});

test('where the tools cannot be installed there is the minimal image under the same tag, and it is said at each start', {
  skip,
}, async () => {
  const broken = 'FROM node:24-bookworm-slim AS minimal\nCOPY runner/ /x/\nFROM minimal AS default\nRUN exit 100\n';
  await using part = setup(broken);
  const warnings: string[] = [];
  const start = () =>
    ensureDefaultImage({
      tag: part.tag,
      recipeDir: path.dirname(part.runnerDir),
      runnerDir: part.runnerDir,
      onProgress: (line) => part.lines.push(line),
      warn: (line) => warnings.push(line),
    });
  assert.deepEqual(await start(), { variant: 'minimal' });
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? '', /no git.*npm run image/);
  part.lines.length = 0;
  assert.deepEqual(await start(), { variant: 'minimal' });
  assert.deepEqual([part.lines, warnings.length], [[], 2], 'no start waits for the network again');

  writeFileSync(path.join(path.dirname(part.runnerDir), 'Dockerfile'), broken.replace('RUN exit 100', 'RUN true'));
  await ensureSandboxImage({
    variant: 'default',
    tag: part.tag,
    recipeDir: path.dirname(part.runnerDir),
    runnerDir: part.runnerDir,
    baseImage: 'node:24-bookworm-slim',
    onProgress: () => undefined,
  });
  assert.deepEqual(await start(), { variant: 'default' });
  const { labels = {} } = (await imageDetails(part.engine, part.tag)) ?? {};
  assert.equal(labels['cloister.image.variant'], 'default');
  assert.equal(labels['cloister.image.base'], 'node:24-bookworm-slim', 'a base that was chosen stays');
  assert.equal(warnings.length, 2);
});

test('a missing recipe or programs that were not built are named', async () => {
  const request = { variant: 'default', tag: 'cloister-image-test:none', onProgress: () => undefined } as const;
  const incomplete = (error: unknown) => isPlatformError(error, 'image_build_failed') && /npm run build/.test(error.detail);
  await assert.rejects(ensureSandboxImage({ ...request, recipeDir: '/nowhere', runnerDir: RECIPE }), incomplete);
  await assert.rejects(ensureSandboxImage({ ...request, recipeDir: RECIPE, runnerDir: RECIPE }), incomplete);
});
