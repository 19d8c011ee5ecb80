// What the build weighs, against the limits in gates.ts, as a table; fails above a limit. It measures what is there:
// `npm run build` and `npm run image -- --server` make it. `--compressed` also says what the other images are on the wire,
// which takes half a minute each; `--idle` what the server's memory is after a quiet minute; `--need-images` fails when
// there is no image.
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { SANDBOX_IMAGE_VARIANTS, SERVER_IMAGE_TAG, sandboxImageTag } from '../packages/server/src/runtime/image.ts';
import { SIZE_LIMITS } from './gates.ts';
import { compressedBytes, idleMemory, imageBytes } from './image-sizes.ts';
import { packPackage } from './package.ts';

const ROOT = path.resolve(import.meta.dirname, '..');
const DIST = path.join(ROOT, 'packages', 'server', 'dist');
const BUNDLE = path.join(DIST, 'cloister.mjs');
const BASE = process.env.BASE_IMAGE ?? 'node:24-bookworm-slim';
const MIB = 1024 * 1024;

interface Row {
  readonly name: string;
  readonly value: string;
  readonly limit?: string;
  readonly isOver?: boolean;
}

function sized(name: string, bytes: number): Row {
  const limit = Object.entries(SIZE_LIMITS).find(([one]) => one === name)?.[1];
  const value = mebibytes(bytes);
  return limit === undefined ? { name, value } : { name, value, limit: mebibytes(limit), isOver: bytes > limit };
}

function mebibytes(bytes: number): string {
  return `${(bytes / MIB).toFixed(2)} MiB`;
}

async function builtRows(): Promise<Row[]> {
  const folder = await mkdtemp(path.join(tmpdir(), 'cloister-report-'));
  try {
    const { bytes } = await packPackage(folder);
    return [
      sized('server bundle', sizeOf('*.mjs')),
      sized('server bundle, gzip', gzippedSizeOf('*.mjs')),
      sized('sandbox programs', sizeOf('assets/sandbox-image/runner/*.mjs')),
      sized('dashboard', sizeOf('assets/dashboard/*.{js,css,html}')),
      sized('npm package', bytes),
      { name: 'start of the command line', value: `${startMs()} ms` },
    ];
  } finally {
    await rm(folder, { recursive: true });
  }
}

function sizeOf(pattern: string): number {
  return globSync(pattern, { cwd: DIST }).reduce((sum, file) => sum + statSync(path.join(DIST, file)).size, 0);
}

function gzippedSizeOf(pattern: string): number {
  return globSync(pattern, { cwd: DIST }).reduce((sum, file) => sum + gzipSync(readFileSync(path.join(DIST, file))).length, 0);
}

/** The best of three, since the first one reads from the disk. */
function startMs(): number {
  const once = () => {
    const started = performance.now();
    spawnSync(process.execPath, [BUNDLE, '--version']);
    return performance.now() - started;
  };
  return Math.round(Math.min(once(), once(), once()));
}

async function imageRows(isCompressed: boolean): Promise<Row[]> {
  const base = imageBytes(BASE);
  if (base === undefined) return [];
  const rows = [await imageRow(`base ${BASE}`, BASE, isCompressed)];
  if (imageBytes(SERVER_IMAGE_TAG) !== undefined)
    // Nothing of the base is below it, so it is weighed whole, and always.
    rows.push(
      await imageRow('server image', SERVER_IMAGE_TAG, false),
      sized('server image, compressed', await compressedBytes(SERVER_IMAGE_TAG)),
    );
  for (const variant of SANDBOX_IMAGE_VARIANTS) {
    const [name, tag] = [`sandbox image ${variant}`, sandboxImageTag(variant)];
    const bytes = imageBytes(tag);
    if (bytes === undefined) continue;
    rows.push(await imageRow(name, tag, isCompressed), sized(`${name} over its base`, bytes - base));
  }
  return rows;
}

async function imageRow(name: string, tag: string, isCompressed: boolean): Promise<Row> {
  const whole = mebibytes(imageBytes(tag) ?? 0);
  return { name, value: isCompressed ? `${whole}, ${mebibytes(await compressedBytes(tag))} compressed` : whole };
}

async function idleRow(): Promise<Row> {
  const { residentBytes, countedByEngine } = await idleMemory(SERVER_IMAGE_TAG);
  return { name: 'idle server', value: `${mebibytes(residentBytes)} resident, ${countedByEngine} by the engine's count` };
}

function print(rows: readonly Row[]): void {
  const width = Math.max(...rows.map(({ name }) => name.length));
  for (const { name, value, limit, isOver } of rows)
    console.log(
      `${isOver === true ? 'OVER' : limit === undefined ? '    ' : 'ok  '} ${name.padEnd(width)}  ${value}${limit === undefined ? '' : ` (limit ${limit})`}`,
    );
}

async function main(): Promise<number> {
  const { values: options } = parseArgs({
    options: {
      compressed: { type: 'boolean', default: false },
      idle: { type: 'boolean', default: false },
      'need-images': { type: 'boolean', default: false },
    },
  });
  if (!existsSync(BUNDLE)) {
    console.error('There is nothing to measure yet: run `npm run build`.');
    return 1;
  }
  const images = await imageRows(options.compressed);
  const hasServer = images.some(({ name }) => name.startsWith('server image'));
  const rows = [...(await builtRows()), ...images, ...(options.idle && hasServer ? [await idleRow()] : [])];
  print(rows);
  if (options['need-images'] && !hasServer) {
    console.error(`There is no image ${SERVER_IMAGE_TAG}: run \`npm run image -- --server\`.`);
    return 1;
  }
  return rows.some(({ isOver }) => isOver === true) ? 1 : 0;
}

process.exitCode = await main();
