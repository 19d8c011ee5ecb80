import type { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { type FieldError, PlatformError } from '../base/errors.ts';
import type { Refusals } from '../base/refusals.ts';
import type { AppContext } from './context.ts';

export interface BodyOptions {
  readonly maxBytes: number;
  readonly clock: Clock;
  readonly refusals: Refusals;
}

/** How long a body may pause. */
const BODY_IDLE_MS = 30_000;
/** How long all of it may take. */
const BODY_MS = 60_000;

/** Reads and bounds a JSON body. An empty body counts as `{}`. */
export async function readJson(c: AppContext, options: BodyOptions): Promise<unknown> {
  const text = await readText(c, options);
  const contentType = c.req.header('content-type')?.split(';')[0]?.trim().toLowerCase();
  if (text !== '' && contentType !== 'application/json') {
    throw new PlatformError('content_type_unsupported', {
      detail: contentType === undefined ? 'The body came without a content type.' : `The body came as ${contentType.slice(0, 80)}.`,
    });
  }
  return parseJson(text);
}

export function parseBody<S extends z.ZodType>(schema: S, json: unknown): z.output<S> {
  return parseWith(schema, json, '');
}

export function readQuery<S extends z.ZodType>(c: AppContext, schema: S): z.output<S> {
  const params = new URL(c.req.url).searchParams;
  const empty = params.entries().find(([, value]) => value === '')?.[0];
  // It would count as 0 where a number is expected.
  if (empty !== undefined) throw invalid('The query', [{ pointer: empty.toWellFormed().slice(0, 80), message: 'has no value' }]);
  const byName = Map.groupBy(params, ([name]) => name);
  const query = [...byName].map(([name, pairs]) => [name, pairs.length === 1 ? pairs[0]?.[1] : pairs.map(([, value]) => value)]);
  return parseWith(schema, Object.fromEntries(query), '?');
}

function parseWith<S extends z.ZodType>(schema: S, value: unknown, prefix: '' | '?'): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const fields = result.error.issues.flatMap((issue) => toFields(issue, prefix)).slice(0, 20);
  throw invalid(prefix === '?' ? 'The query' : 'The body', fields);
}

function invalid(where: string, fields: readonly FieldError[]): PlatformError {
  const first = fields[0];
  return new PlatformError('request_invalid', {
    detail:
      first === undefined
        ? `${where} is not valid.`
        : `${where} is not valid: ${first.pointer === '' ? '' : `${first.pointer}: `}${first.message}.`,
    fields,
  });
}

function toFields(issue: z.core.$ZodIssue, prefix: '' | '?', base: readonly PropertyKey[] = []): FieldError[] {
  const parts = [...base, ...issue.path];
  if (issue.code === 'invalid_union') {
    const branch = meantBranch(issue);
    if (branch !== undefined) return branch.flatMap((inner) => toFields(inner, prefix, parts));
  }
  const path = prefix === '?' ? parts.join('.') : parts.map((part) => `/${escapePointer(String(part))}`).join('');
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({ pointer: prefix === '?' ? key : `${path}/${escapePointer(key)}`, message: 'unknown field' }));
  return [{ pointer: path, message: unionMessage(issue) ?? issue.message }];
}

/** The form of a field that was meant: the one that failed further in than at its own type, with the least to correct. */
function meantBranch(issue: z.core.$ZodIssueInvalidUnion): readonly z.core.$ZodIssue[] | undefined {
  const isOtherType = (one: z.core.$ZodIssue) => one.path.length === 0 && one.code === 'invalid_type';
  return issue.errors.filter((branch) => branch.length > 0 && !branch.some(isOtherType)).toSorted((a, b) => a.length - b.length)[0];
}

/** When a value has the type of none of the forms, all of them are named. */
function unionMessage(issue: z.core.$ZodIssue): string | undefined {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return undefined;
  return [...new Set(issue.errors.flatMap((branch) => branch.map((one) => one.message)))].join(', or ');
}

function parseJson(text: string): unknown {
  if (text === '') return {};
  const value = tryParse(text);
  // Only an escape can bring in a character that is none; most bodies have no such escape and need no walk.
  if (/\\u(0000|d[89a-f])/i.test(text)) refuseBrokenText(value);
  // Schemas drop this key without a word, since as a name in an object it is a trap.
  if (text.includes('__proto__')) refuseProtoKeys(value);
  return value;
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new PlatformError('json_malformed', { cause });
  }
}

/** NUL and lone surrogates are in no text: databases cut or refuse them, and so do model providers. */
function refuseBrokenText(value: unknown): void {
  walk(value, ({ key, node, pointer }) => {
    const texts = typeof node === 'string' ? [key, node] : [key];
    if (!texts.every((text) => text.isWellFormed() && !text.includes('\0')))
      throw new PlatformError('request_invalid', {
        detail: 'A text holds a NUL character or half of a surrogate pair.',
        fields: [{ pointer: pointer().toWellFormed(), message: 'no NUL and no lone surrogate' }],
      });
  });
}

function refuseProtoKeys(value: unknown): void {
  walk(value, ({ key, pointer }) => {
    if (key === '__proto__')
      throw new PlatformError('request_invalid', {
        detail: 'A field is named __proto__.',
        fields: [{ pointer: pointer(), message: 'unknown field' }],
      });
  });
}

interface Visit {
  readonly key: string;
  readonly node: unknown;
  pointer(): string;
}

interface Place {
  readonly key: string;
  readonly node: unknown;
  readonly parent: Place | undefined;
}

/** Visits every node, without recursion: bodies can be nested a hundred thousand deep. */
function walk(root: unknown, visit: (one: Visit) => void): void {
  const places: Place[] = [{ key: '', node: root, parent: undefined }];
  for (let place = places.pop(); place !== undefined; place = places.pop()) {
    const at = place;
    visit({ key: at.key, node: at.node, pointer: () => pointerOf(at) });
    if (typeof at.node !== 'object' || at.node === null) continue;
    for (const [key, node] of Object.entries(at.node)) places.push({ key, node, parent: at });
  }
}

/** Long enough to find the place by, and no echo of a deep nest. */
const MAX_POINTER_PARTS = 32;

function pointerOf(place: Place): string {
  const parts: string[] = [];
  for (let at: Place | undefined = place; at?.parent !== undefined; at = at.parent) parts.unshift(escapePointer(at.key));
  return parts
    .slice(0, MAX_POINTER_PARTS)
    .map((part) => `/${part}`)
    .join('');
}

function escapePointer(part: string): string {
  return part.replaceAll('~', '~0').replaceAll('/', '~1');
}

/** Reads no more than `maxBytes`, whatever the length header says. */
async function readText(c: AppContext, options: BodyOptions): Promise<string> {
  const request = c.req.raw;
  const { maxBytes } = options;
  const tooLarge = () => new PlatformError('message_too_large', { detail: `The body is larger than ${maxBytes} bytes.` });
  if (Number(request.headers.get('content-length') ?? 0) > maxBytes) throw tooLarge();
  if (request.body === null) return '';
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = request.body.getReader();
  const until = options.clock.monotonic() + BODY_MS;
  try {
    for (let next = await readChunk(reader, options); !next.done; next = await readChunk(reader, options)) {
      size += next.value.byteLength;
      if (options.clock.monotonic() > until)
        throw options.refusals.refuse('slow_body', { detail: `The body was not there after ${BODY_MS / 1000} seconds.` });
      if (size > maxBytes) throw tooLarge();
      c.get('flight').addBytes(next.value.byteLength);
      chunks.push(next.value);
    }
  } catch (error) {
    // Not awaited: whoever sends it may never stop.
    reader.cancel().catch(() => undefined);
    throw error;
  }
  return decodeUtf8(Buffer.concat(chunks));
}

type BodyReader = ReadableStreamDefaultReader<Uint8Array>;

async function readChunk(reader: BodyReader, { clock, refusals }: BodyOptions): Promise<Awaited<ReturnType<BodyReader['read']>>> {
  const { promise, resolve, reject } = Promise.withResolvers<Awaited<ReturnType<BodyReader['read']>>>();
  const cancel = clock.after(BODY_IDLE_MS, () =>
    reject(refusals.refuse('slow_body', { detail: `Nothing of the body came for ${BODY_IDLE_MS / 1000} seconds.` })),
  );
  reader.read().then(resolve, reject);
  try {
    return await promise;
  } finally {
    cancel();
  }
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new PlatformError('json_malformed', { detail: 'The body is not UTF-8.', cause });
  }
}
