import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { pack } from 'tar-stream';
import { systemClock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { VERSION } from '../base/version.ts';
import { createEngine } from './docker/engine.ts';
import { buildImage, imageDetails } from './docker/image.ts';

/** Stages of the Dockerfile: the built-in agent alone, or with the real Claude agent, which is never published. */
export const SANDBOX_IMAGE_VARIANTS = ['default', 'claude'] as const;
export type SandboxImageVariant = (typeof SANDBOX_IMAGE_VARIANTS)[number];

export function sandboxImageTag(variant: SandboxImageVariant): string {
  return `cloister-sandbox:${VERSION}${variant === 'default' ? '' : `-${variant}`}`;
}

/** Identifies what an image was made from, so that one that is up to date is not made again. */
const CONTENT_LABEL = 'cloister.image.content';

export interface EnsureImageInput {
  readonly dockerHost?: string | undefined;
  readonly runtimeDir?: string | undefined;
  readonly variant: SandboxImageVariant;
  readonly tag: string;
  /** Directory with the `Dockerfile`. */
  readonly recipeDir: string;
  /** Directory with the programs of the sandbox, `*.mjs`. */
  readonly runnerDir: string;
  readonly isForced?: boolean;
  readonly onProgress: (line: string) => void;
  readonly signal?: AbortSignal;
}

/**
 * Builds the sandbox image through the engine when it is missing or was made from other files. Answers whether
 * it was built. Throws `runtime_unreachable`, `image_build_failed`.
 */
export async function ensureSandboxImage(input: EnsureImageInput): Promise<{ readonly isBuilt: boolean }> {
  const engine = createEngine({ endpoint: input.dockerHost, runtimeDir: input.runtimeDir, clock: systemClock });
  try {
    const files = await readContext(input);
    const content = contentHash(input.variant, files);
    const existing = await imageDetails(engine, input.tag, input.signal);
    if (existing?.labels[CONTENT_LABEL] === content && input.isForced !== true) return { isBuilt: false };
    const archive = pack();
    for (const file of files) archive.entry({ name: file.name, mode: 0o644 }, file.body);
    archive.finalize();
    // tar-stream's own stream class is not Node's.
    const context = archive.pipe(new PassThrough());
    await buildImage(engine, {
      tag: input.tag,
      target: input.variant,
      labels: { [CONTENT_LABEL]: content, 'org.opencontainers.image.version': VERSION },
      context,
      isCacheUsed: input.isForced !== true,
      onProgress: input.onProgress,
      signal: input.signal,
    });
    return { isBuilt: true };
  } finally {
    engine.close();
  }
}

interface ContextFile {
  readonly name: string;
  readonly body: Buffer;
}

async function readContext({ recipeDir, runnerDir }: EnsureImageInput): Promise<ContextFile[]> {
  try {
    const programs = (await readdir(runnerDir)).filter((name) => name.endsWith('.mjs')).sort();
    const runner = await Promise.all(programs.map(async (name) => ({ name: `runner/${name}`, body: await readFile(path.join(runnerDir, name)) })));
    if (runner.length === 0) throw new Error('no programs');
    return [{ name: 'Dockerfile', body: await readFile(path.join(recipeDir, 'Dockerfile')) }, ...runner];
  } catch (cause) {
    throw new PlatformError('image_build_failed', { detail: `The files of the sandbox image are missing in ${runnerDir}; run \`npm run build\`.`, cause });
  }
}

function contentHash(variant: string, files: readonly ContextFile[]): string {
  const hash = createHash('sha256').update(variant);
  for (const { name, body } of files) hash.update(`\0${name}\0${body.length}\0`).update(body);
  return hash.digest('hex');
}
