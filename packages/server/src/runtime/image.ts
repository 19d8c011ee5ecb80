import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pack } from 'tar-stream';
import { systemClock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { VERSION } from '../base/version.ts';
import type { EndpointOptions } from './docker/endpoint.ts';
import { createEngine, type Engine } from './docker/engine.ts';
import { buildImage, imageDetails, removeImage, untaggedImages } from './docker/image.ts';
import { stagesFor } from './recipe.ts';

/**
 * `minimal` carries our own agent, `default` git, Python and other tools as well, `full` a browser too; `claude` is
 * `default` with Anthropic's agent, which the operator's own build installs. Each is a stage of the Dockerfile.
 */
export const SANDBOX_IMAGE_VARIANTS = ['minimal', 'default', 'claude', 'full'] as const;
export type SandboxImageVariant = (typeof SANDBOX_IMAGE_VARIANTS)[number];

/** The image's name on the engine; it never leaves it. */
export function sandboxImageTag(variant: SandboxImageVariant): string {
  return variant === 'default' ? `cloister-sandbox:${VERSION}` : `cloister-sandbox:${VERSION}-${variant}`;
}

export interface SandboxImageRequest {
  readonly variant: SandboxImageVariant;
  readonly tag: string;
  /** Holds the `Dockerfile`. */
  readonly recipeDir: string;
  /** The built programs of the sandbox; the recipe finds them as `runner/`. */
  readonly runnerDir: string;
  /** Where the engine is; Docker's usual places when left out. */
  readonly engine?: EndpointOptions | undefined;
  /** What the recipe begins from; when left out, what the former image of the tag was made with, else the recipe's own. */
  readonly baseImage?: string | undefined;
  /** Build again although the image is up to date, and without the builder's cache. */
  readonly force?: boolean;
  /** Called with each line of the build's output; never when there is nothing to build. */
  readonly onProgress: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
}

const HASH_LABEL = 'cloister.image.hash';
const VARIANT_LABEL = 'cloister.image.variant';
const BASE_LABEL = 'cloister.image.base';

/**
 * Builds the sandbox image when the engine has none of that tag, or one from another recipe or other programs;
 * the hash of both is a label of the image. Outdated images that nothing uses are removed.
 * Throws `runtime_unreachable`, or `image_build_failed` with the last lines of the build.
 */
export async function ensureSandboxImage(request: SandboxImageRequest): Promise<{ readonly isBuilt: boolean }> {
  return ensureImage({ ...request, context: await readContext(request) });
}

/** Whether the tag is the image that `ensureSandboxImage` would make. Throws `runtime_unreachable`. */
export async function isSandboxImageCurrent(request: SandboxImageRequest): Promise<boolean> {
  const engine = createEngine({ ...request.engine, clock: systemClock });
  try {
    const found = await imageDetails(engine, request.tag, request.signal);
    return found?.labels[HASH_LABEL] === hashContext(await readContext(request), request.variant);
  } finally {
    engine.close();
  }
}

/** The image of the server itself and of its socket broker; it never leaves the engine. */
export const SERVER_IMAGE_TAG = `cloister:${VERSION}`;

/** Builds the server's image from what `npm run build` made, as `ensureSandboxImage` does the sandbox's. */
export async function ensureServerImage(
  request: Omit<SandboxImageRequest, 'variant' | 'recipeDir' | 'runnerDir'> & {
    /** Holds the `Dockerfile`. */
    readonly recipeDir: string;
    /** The bundle and its assets; the recipe finds them as `packages/server/dist/`. */
    readonly distDir: string;
  },
): Promise<{ readonly isBuilt: boolean }> {
  const entries = await readdir(request.distDir, { recursive: true, withFileTypes: true }).catch((cause: unknown) =>
    Promise.reject(incomplete(request.distDir, cause)),
  );
  const names = entries
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.map'))
    .map((entry) => path.relative(request.distDir, path.join(entry.parentPath, entry.name)).split(path.sep).join('/'));
  if (!names.includes('cloister.mjs')) throw incomplete(request.distDir);
  const recipe = await readInput(path.join(request.recipeDir, 'Dockerfile'));
  const context: ContextFile[] = [{ name: 'Dockerfile', content: Buffer.from(withoutBuild(recipe.toString())) }];
  for (const name of names.sort())
    context.push({ name: `packages/server/dist/${name}`, content: await readInput(path.join(request.distDir, name)) });
  return ensureImage({ ...request, variant: 'server', context });
}

/** A recipe without the stage that builds: what others copy from there is in the context, at the same path. */
function withoutBuild(recipe: string): string {
  return stagesFor(recipe.replaceAll('COPY --from=build /src/', 'COPY '), 'server');
}

/**
 * What a sandbox image is built from, as a tar for `docker build -`: the recipe, with a variant only the stages that it
 * stands on, and the programs.
 */
export async function packSandboxContext(
  request: Pick<SandboxImageRequest, 'recipeDir' | 'runnerDir'> & { readonly variant: SandboxImageVariant | undefined },
): Promise<Readable> {
  return packContext(await readContext(request));
}

interface ImageRequest extends Pick<SandboxImageRequest, 'tag' | 'engine' | 'baseImage' | 'force' | 'onProgress' | 'signal'> {
  /** A stage of the Dockerfile, and the image's label. */
  readonly variant: string;
  readonly context: readonly ContextFile[];
}

async function ensureImage(request: ImageRequest): Promise<{ readonly isBuilt: boolean }> {
  const { tag, variant, context, signal } = request;
  const engine = createEngine({ ...request.engine, clock: systemClock });
  try {
    const hash = hashContext(context, variant);
    const before = await imageDetails(engine, tag, signal);
    const formerBase = before?.labels[BASE_LABEL];
    const baseImage = request.baseImage ?? formerBase;
    if (before?.labels[HASH_LABEL] === hash && baseImage === formerBase && request.force !== true) return { isBuilt: false };
    await buildImage(engine, {
      tag,
      target: variant,
      args: baseImage === undefined ? {} : { BASE_IMAGE: baseImage },
      labels: {
        [HASH_LABEL]: hash,
        [VARIANT_LABEL]: variant,
        ...(baseImage === undefined ? {} : { [BASE_LABEL]: baseImage }),
        'org.opencontainers.image.version': VERSION,
      },
      context: await packContext(context),
      isCacheUsed: request.force !== true,
      onProgress: request.onProgress,
      signal,
    });
    // The tag may have been another variant's before.
    for (const one of new Set([variant, before?.labels[VARIANT_LABEL] ?? variant]))
      await removeOutdated(engine, { variant: one, justReplaced: before?.id, signal });
    return { isBuilt: true };
  } finally {
    engine.close();
  }
}

interface OutdatedImages {
  readonly variant: string;
  readonly justReplaced: string | undefined;
  readonly signal: AbortSignal | undefined;
}

/** An image in the making elsewhere has no tag either, for a moment. */
const MAKING_MS = 60_000;

/** Removes former images of the variant that have no tag left, those that were still in use the last time too. */
async function removeOutdated(engine: Engine, { variant, justReplaced, signal }: OutdatedImages): Promise<void> {
  for (const { id, createdAt } of await untaggedImages(engine, `${VARIANT_LABEL}=${variant}`, signal)) {
    if (id === justReplaced || createdAt < systemClock.now() - MAKING_MS) await removeImage(engine, id, signal);
  }
}

interface ContextFile {
  readonly name: string;
  readonly content: Buffer;
}

/** Only what the recipe uses, in a fixed order, so that the hash says something. */
async function readContext({ recipeDir, runnerDir, variant }: Parameters<typeof packSandboxContext>[0]): Promise<readonly ContextFile[]> {
  const whole = await readInput(path.join(recipeDir, 'Dockerfile'));
  const recipe = variant === undefined ? whole : Buffer.from(stagesFor(whole.toString(), variant));
  const files: ContextFile[] = [{ name: 'Dockerfile', content: recipe }];
  for (const name of await programsIn(runnerDir)) {
    files.push({ name: `runner/${name}`, content: await readInput(path.join(runnerDir, name)) });
  }
  return files;
}

async function programsIn(runnerDir: string): Promise<string[]> {
  const entries = await readdir(runnerDir, { recursive: true }).catch((cause: unknown) => Promise.reject(incomplete(runnerDir, cause)));
  const programs = entries.filter((name) => name.endsWith('.mjs')).map((name) => name.split(path.sep).join('/'));
  if (programs.length === 0) throw incomplete(runnerDir);
  return programs.sort();
}

function readInput(file: string): Promise<Buffer> {
  return readFile(file).catch((cause: unknown) => Promise.reject(incomplete(file, cause)));
}

function incomplete(place: string, cause?: unknown): PlatformError {
  const detail = `What the image is made of is not complete: ${place}. Run \`npm run build\` first.`;
  return new PlatformError('image_build_failed', { detail, cause });
}

function hashContext(files: readonly ContextFile[], variant: string): string {
  const hash = createHash('sha256').update(`${variant}\n`);
  for (const { name, content } of files) hash.update(`${name} ${content.length}\n`).update(content);
  return hash.digest('hex');
}

async function packContext(files: readonly ContextFile[]): Promise<Readable> {
  const tar = pack();
  // One fixed time: the builder's cache looks at contents, and equal input should be equal bytes.
  for (const { name, content } of files) tar.entry({ name, mode: 0o644, mtime: new Date(0) }, content);
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar as AsyncIterable<Buffer>) chunks.push(chunk); // its types do not say what it yields
  return Readable.from(chunks);
}
