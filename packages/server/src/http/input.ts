import type { z } from 'zod';
import { type FieldError, PlatformError } from '../base/errors.ts';
import type { AppContext } from './context.ts';

/** Reads, bounds and checks a JSON body. An empty body counts as `{}` where the schema allows it. */
export async function readBody<S extends z.ZodType>(c: AppContext, schema: S, maxBytes: number): Promise<z.output<S>> {
  const text = await readText(c.req.raw, maxBytes);
  const contentType = c.req.header('content-type')?.split(';')[0]?.trim().toLowerCase();
  if (text !== '' && contentType !== 'application/json') {
    throw new PlatformError('content_type_unsupported', {
      detail: contentType === undefined ? 'The body came without a content type.' : `The body came as ${contentType.slice(0, 80)}.`,
    });
  }
  return parseWith(schema, parseJson(text), '');
}

export function readQuery<S extends z.ZodType>(c: AppContext, schema: S): z.output<S> {
  const query = Object.fromEntries(
    Object.entries(c.req.queries()).map(([name, values]) => [name, values.length === 1 ? values[0] : values]),
  );
  return parseWith(schema, query, '?');
}

function parseWith<S extends z.ZodType>(schema: S, value: unknown, prefix: '' | '?'): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const fields = result.error.issues.flatMap((issue) => toFields(issue, prefix)).slice(0, 20);
  const first = fields[0];
  const where = prefix === '?' ? 'The query' : 'The body';
  throw new PlatformError('request_invalid', {
    detail:
      first === undefined
        ? `${where} is not valid.`
        : `${where} is not valid: ${first.pointer === '' ? '' : `${first.pointer}: `}${first.message}.`,
    fields,
  });
}

function toFields(issue: z.core.$ZodIssue, prefix: string): FieldError[] {
  const path =
    prefix === '?'
      ? issue.path.join('.')
      : issue.path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({ pointer: prefix === '?' ? key : `${path}/${key}`, message: 'unknown field' }));
  return [{ pointer: path, message: issue.message }];
}

function parseJson(text: string): unknown {
  if (text === '') return {};
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new PlatformError('json_malformed', { cause });
  }
}

/** Reads no more than `maxBytes`, whatever the length header says. */
async function readText(request: Request, maxBytes: number): Promise<string> {
  const tooLarge = () => new PlatformError('message_too_large', { detail: `The body is larger than ${maxBytes} bytes.` });
  if (Number(request.headers.get('content-length') ?? 0) > maxBytes) throw tooLarge();
  if (request.body === null) return '';
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = request.body.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    size += next.value.byteLength;
    if (size > maxBytes) {
      // Not awaited: whoever sends it may never stop.
      reader.cancel().catch(() => undefined);
      throw tooLarge();
    }
    chunks.push(next.value);
  }
  return Buffer.concat(chunks).toString('utf8');
}
