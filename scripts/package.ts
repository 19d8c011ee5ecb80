// Makes the npm package `cloister` from what `npm run build` made, which holds its libraries, and so has no
// dependencies. Prints the tarball's path.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { thirdPartyNotices } from './licences.ts';

const ROOT = path.resolve(import.meta.dirname, '..');
const SERVER = path.join(ROOT, 'packages', 'server');

interface Manifest {
  readonly version: string;
  readonly description: string;
  readonly license: string;
  readonly engines: { readonly node: string };
}

export interface PackedPackage {
  readonly file: string;
  readonly bytes: number;
  /** Paths inside the package. */
  readonly contents: readonly string[];
}

/** Packs into the directory. Throws when `npm run build` has not run. */
export async function packPackage(destination: string): Promise<PackedPackage> {
  if (!existsSync(path.join(SERVER, 'dist', 'cloister.mjs'))) throw new Error('There is nothing to pack yet: run `npm run build`.');
  const folder = await mkdtemp(path.join(tmpdir(), 'cloister-package-'));
  try {
    await stage(folder);
    await mkdir(destination, { recursive: true });
    const args = ['pack', '--json', '--silent', '--offline', '--ignore-scripts', '--pack-destination', destination];
    const packed = spawnSync('npm', args, { cwd: folder, encoding: 'utf8', shell: process.platform === 'win32' });
    if (packed.status !== 0) throw new Error(`npm pack failed: ${packed.stderr}`, { cause: packed.error });
    const answer: unknown = JSON.parse(packed.stdout);
    // npm's own list: of packages by now by name, in former versions in order.
    const [made] = Object.values(answer as Record<string, { filename: string; size: number; files: readonly { path: string }[] }>);
    if (made === undefined) throw new Error('npm pack made nothing.');
    return { file: path.join(destination, made.filename), bytes: made.size, contents: made.files.map((one) => one.path).sort() };
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function stage(folder: string): Promise<void> {
  const [workspace, server] = await Promise.all([manifestOf(ROOT), manifestOf(SERVER)]);
  const manifest = {
    name: 'cloister',
    version: server.version,
    description: workspace.description,
    license: server.license,
    type: 'module',
    bin: { cloister: 'bin/cloister.cjs' },
    engines: workspace.engines,
    files: ['bin', 'dist', 'THIRD-PARTY-NOTICES.txt'],
  };
  // Source maps are for who has the sources.
  const filter = (source: string) => !source.endsWith('.map');
  await Promise.all([
    writeFile(path.join(folder, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`),
    writeFile(path.join(folder, 'THIRD-PARTY-NOTICES.txt'), thirdPartyNotices(ROOT)),
    cp(path.join(ROOT, 'LICENSE'), path.join(folder, 'LICENSE')),
    cp(path.join(ROOT, 'README.md'), path.join(folder, 'README.md')),
    cp(path.join(SERVER, 'bin', 'cloister.cjs'), path.join(folder, 'bin', 'cloister.cjs')),
    cp(path.join(SERVER, 'dist'), path.join(folder, 'dist'), { recursive: true, filter }),
  ]);
}

async function manifestOf(folder: string): Promise<Manifest> {
  return JSON.parse(await readFile(path.join(folder, 'package.json'), 'utf8'));
}

if (import.meta.main) {
  const { values: options } = parseArgs({ options: { out: { type: 'string', default: path.join(ROOT, 'dist') } } });
  const { file, bytes, contents } = await packPackage(path.resolve(options.out));
  console.log(`${file} (${Math.round(bytes / 1024)} KiB, ${contents.length} files)`);
}
