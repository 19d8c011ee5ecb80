import type http from 'node:http';
import type { JsonValue } from '../base/json.ts';
import { compareVersions } from '../runtime/docker/negotiate.ts';
import type { Call, Rule } from './calls.ts';
import { parseJson } from './filters.ts';
import { refusal } from './policy.ts';

export const MAX_JSON_BYTES = 1024 * 1024;
const MAX_URL_BYTES = 16 * 1024;
/** What of the engine's versions the shapes were read for. */
const VERSIONS = { oldest: '1.41', newest: '1.51' } as const;

export interface Target {
  readonly rule: Rule;
  readonly parts: readonly string[];
  readonly query: Readonly<Record<string, string>>;
}

/** Finds the rule for a request line, taken as it is: nothing in it is ever normalised or decoded but a query and an image's name. */
export function findRule(rules: readonly Rule[], method: string | undefined, url: string | undefined): Target {
  if (url === undefined || url.length > MAX_URL_BYTES || !/^\/[\x21-\x7e]*$/.test(url)) throw refusal('the address is none');
  const [whole = '', search = '', ...more] = url.split('?');
  if (more.length > 0) throw refusal('the address has two queries');
  const [, version, path = whole] = /^\/v(\d\.\d{1,3})(\/.*)$/.exec(whole) ?? [];
  if (version !== undefined && (compareVersions(version, VERSIONS.oldest) < 0 || compareVersions(version, VERSIONS.newest) > 0))
    throw refusal(`API ${version} is not spoken here`);
  for (const rule of rules) {
    const match = rule.method === method ? rule.path.exec(path) : null;
    if (match !== null) return { rule, parts: match.slice(1), query: parseQuery(rule, search) };
  }
  throw refusal('this call is not among those that are let through');
}

function parseQuery({ query: allowed = {}, kind }: Rule, search: string): Readonly<Record<string, string>> {
  const query: Record<string, string> = {};
  if (kind === 'refused') return query;
  for (const [name, value] of new URLSearchParams(search)) {
    const shape = Object.hasOwn(allowed, name) ? allowed[name] : undefined;
    if (shape === undefined || Object.hasOwn(query, name) || !shape.test(value))
      throw refusal(`the query "${name.slice(0, 40)}" is not as it is used here`);
    query[name] = value;
  }
  return query;
}

/** The whole call. A body is read only where the rule has one; anywhere else it must not be there. */
export async function readCall({ rule, parts, query }: Target, request: http.IncomingMessage, head?: Buffer): Promise<Call> {
  const { 'content-length': length, 'transfer-encoding': coding } = request.headers;
  if (rule.kind === 'refused') return { parts, query, json: undefined, upload: undefined };
  if (rule.kind === 'tar') return { parts, query, json: undefined, upload: request };
  const isJson = rule.kind === 'json' || rule.kind === 'raw-json';
  // Engines before 24 take what comes after an upgrade for the container's input, so its body is read by its length.
  if (coding !== undefined) throw refusal('a body has to tell its length');
  if (!isJson && length !== undefined && length !== '0') throw refusal('this call has no body');
  if (!isJson) return { parts, query, json: undefined, upload: undefined };
  const size = Number(length);
  if (length === undefined || !/^\d{1,9}$/.test(length) || size > MAX_JSON_BYTES)
    throw refusal(`a body has up to ${MAX_JSON_BYTES} bytes, and tells how many`);
  const type = request.headers['content-type']?.split(';')[0]?.trim();
  if (type !== 'application/json') throw refusal('a body is JSON');
  const bytes = head === undefined ? await readAll(request) : await readSome(request, head, size);
  return { parts, query, json: requireJson(bytes.toString('utf8')), upload: undefined };
}

async function readAll(request: http.IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/** After an upgrade the body is what comes first on the connection; what comes behind it is the program's input. */
async function readSome(request: http.IncomingMessage, head: Buffer, size: number): Promise<Buffer> {
  let bytes = head;
  const { socket } = request;
  while (bytes.length < size) {
    const chunk: unknown = await new Promise((resolve, reject) => {
      socket.once('data', resolve);
      socket.once('end', () => reject(refusal('the body is shorter than it says')));
      socket.once('error', reject);
    });
    socket.pause();
    bytes = Buffer.concat([bytes, chunk as Buffer]); // a socket without an encoding gives buffers
  }
  if (bytes.length > size) socket.unshift(bytes.subarray(size));
  return bytes.subarray(0, size);
}

function requireJson(text: string): JsonValue {
  const value = parseJson(text);
  if (value === undefined) throw refusal('the body is no JSON');
  return value;
}
