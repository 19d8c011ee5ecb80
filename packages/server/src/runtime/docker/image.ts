import type { Readable } from 'node:stream';
import { PlatformError } from '../../base/errors.ts';
import type { Engine } from './engine.ts';
import { unexpectedAnswer } from './failures.ts';
import { readJsonLines } from './json-lines.ts';
import { type ImageDetails, parseBuildLine, parseImage, parseImages } from './wire.ts';

/** What the engine knows of an image; undefined when it has none of that name. */
export async function imageDetails(engine: Engine, image: string, signal?: AbortSignal): Promise<ImageDetails | undefined> {
  // Slashes belong to the name and the engine's router takes them so; all else is escaped.
  const name = image.split('/').map(encodeURIComponent).join('/');
  const answer = await engine.call({ method: 'GET', path: `/images/${name}/json`, signal });
  if (answer.status === 404 || answer.status === 400) return undefined;
  if (answer.status !== 200) throw unexpectedAnswer('look at an image', answer);
  return parseImage(answer.body);
}

/** Images with this label that no tag points to any more. */
export async function untaggedImages(engine: Engine, label: string, signal?: AbortSignal): Promise<ReturnType<typeof parseImages>> {
  const filters = JSON.stringify({ dangling: ['true'], label: [label] });
  const answer = await engine.call({ method: 'GET', path: '/images/json', query: { filters }, signal });
  if (answer.status !== 200) throw unexpectedAnswer('list the images', answer);
  return parseImages(answer.body);
}

/** Removes an image that nothing uses; one that is in use, or that others are made from, stays. */
export async function removeImage(engine: Engine, image: string, signal?: AbortSignal): Promise<boolean> {
  const answer = await engine.call({ method: 'DELETE', path: `/images/${encodeURIComponent(image)}`, signal, deadlineMs: 120_000 });
  if (answer.status === 200) return true;
  if (answer.status === 404 || answer.status === 409) return false;
  throw unexpectedAnswer('remove an image', answer);
}

export interface BuildRequest {
  readonly tag: string;
  readonly target: string;
  /** Values for the recipe's `ARG`s. */
  readonly args: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  /** A tar of the build context with the Dockerfile at its top. */
  readonly context: Readable;
  readonly isCacheUsed: boolean;
  readonly onProgress: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
}

const KEPT_LINES = 20;

/**
 * Builds with the engine's own classic builder, which every engine has and which needs no front end from a
 * registry. Throws `image_build_failed` with the last lines of output.
 */
export async function buildImage(engine: Engine, request: BuildRequest): Promise<void> {
  const answer = await engine.open({
    method: 'POST',
    path: '/build',
    query: {
      version: 1,
      t: request.tag,
      target: request.target,
      rm: 1,
      forcerm: 1,
      nocache: request.isCacheUsed ? undefined : 1,
      buildargs: JSON.stringify(request.args),
      labels: JSON.stringify(request.labels),
    },
    upload: { type: 'application/x-tar', body: request.context },
    signal: request.signal,
    deadlineMs: 120_000,
  });
  const last: string[] = [];
  let problem: string | undefined;
  for await (const line of readJsonLines(answer.body)) {
    if (answer.status !== 200) problem = JSON.stringify(line);
    const { output, error } = parseBuildLine(line);
    for (const text of outputLines(output)) {
      request.onProgress(text);
      last.push(text);
      if (last.length > KEPT_LINES) last.shift();
    }
    problem ??= error;
  }
  if (problem !== undefined || answer.status !== 200) throw buildFailure(request.tag, problem ?? `status ${answer.status}`, last);
}

/** Names of layers and containers that come and go: nothing a reader can use. */
const BOOKKEEPING = /^( ---> ([0-9a-f]{12}|Running in [0-9a-f]{12})|Removing intermediate container [0-9a-f]{12})$/;

function outputLines(text: string): string[] {
  return text
    .split(/[\r\n]+/)
    .map((line) => line.trimEnd())
    .filter((line) => line !== '' && !BOOKKEEPING.test(line));
}

function buildFailure(tag: string, problem: string, last: readonly string[]): PlatformError {
  const output = last.length === 0 ? '' : `\nThe last output:\n${last.join('\n')}`;
  return new PlatformError('image_build_failed', { detail: `Building ${tag} failed: ${problem}${output}` });
}
