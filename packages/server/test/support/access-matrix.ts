import { type Named, sampleOf } from './schema-sample.ts';
import { message, type TestServer, type Wire } from './server.ts';

export interface Operation {
  readonly name: string;
  readonly method: string;
  readonly route: string;
  readonly params: readonly string[];
  readonly operation: Wire;
}

export function operationsOf(document: Wire): readonly Operation[] {
  return Object.entries<Wire>(document.paths).flatMap(([route, item]) =>
    Object.entries<Wire>(item).map(([method, operation]) => ({
      name: `${method.toUpperCase()} ${route}`,
      method: method.toUpperCase(),
      route,
      params: [...route.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name),
      operation,
    })),
  );
}

/** A tenant with one of everything that can be made by a request. */
export interface Household {
  readonly tenant: string;
  readonly keys: Readonly<Record<string, string>>;
  /** Ids by the route that they are found below, with the ids of their parents in it. */
  readonly ids: Map<string, string>;
  readonly named: Named;
}

/** Makes things of a tenant by what the document says of their creation; what cannot be made so is left out. */
export async function furnish(server: TestServer, document: Wire, operations: readonly Operation[], household: Household): Promise<void> {
  const owner = household.keys.owner ?? '';
  const byDepth = operations.filter(({ params }) => params.length > 0).toSorted((a, b) => a.params.length - b.params.length);
  for (const { route } of byDepth)
    for (const end of placesOf(route)) {
      const collection = route.slice(0, end.start - 1);
      if (household.ids.has(collection)) continue;
      const path = fill(collection, household);
      if (path === undefined) continue;
      const id = (await make(server, document, operations, { collection, path, owner, household })) ?? (await find(server, path, owner));
      if (id !== undefined) household.ids.set(collection, id);
    }
}

interface Making {
  readonly collection: string;
  readonly path: string;
  readonly owner: string;
  readonly household: Household;
}

async function make(
  server: TestServer,
  document: Wire,
  operations: readonly Operation[],
  { collection, path, owner, household }: Making,
): Promise<string | undefined> {
  const creation = operations.find(({ method, route }) => method === 'POST' && route === collection);
  if (creation === undefined || collection === '/v1/sessions/{id}/events') return undefined;
  const answer = await server.request('POST', path, { key: owner, ...bodyOf(document, creation, household.named) });
  const text = await answer.text();
  return answer.ok ? idIn(text) : undefined;
}

async function find(server: TestServer, path: string, owner: string): Promise<string | undefined> {
  const answer = await server.request('GET', path, { key: owner, signal: AbortSignal.timeout(10_000) });
  if (!answer.ok || !(answer.headers.get('content-type') ?? '').includes('json')) {
    await answer.body?.cancel();
    return undefined;
  }
  const { data } = (await answer.json()) as Wire;
  const id = Array.isArray(data) ? data[0]?.id : undefined;
  return typeof id === 'string' ? id : undefined;
}

function idIn(text: string): string | undefined {
  try {
    const value: Wire = JSON.parse(text);
    const id = value.id ?? value.session_id ?? value.agent?.id;
    return typeof id === 'string' ? id : undefined;
  } catch {
    return undefined;
  }
}

/** Where the parameters of a route stand. */
export function placesOf(route: string): readonly { readonly start: number; readonly end: number }[] {
  return [...route.matchAll(/\{\w+\}/g)].map((match) => ({ start: match.index, end: match.index + match[0].length }));
}

/** The route with the ids of a household; undefined when it has not all of them. */
export function fill(route: string, household: Household): string | undefined {
  let path = '';
  let from = 0;
  for (const { start, end } of placesOf(route)) {
    const id = household.ids.get(route.slice(0, start - 1));
    if (id === undefined) return undefined;
    path += route.slice(from, start) + encodeURIComponent(id);
    from = end;
  }
  return path + route.slice(from);
}

/** A body that the operation takes, and what its query needs. */
export function bodyOf(
  document: Wire,
  { operation, route, method }: Operation,
  named: Named,
): { body?: unknown; headers?: Record<string, string> } {
  const content = operation.requestBody?.content;
  if (content === undefined) return {};
  const json = content['application/json'];
  if (content['multipart/form-data'] !== undefined) return uploadTo(route);
  if (json === undefined) return { body: 'x', headers: { 'content-type': Object.keys(content)[0] ?? 'application/octet-stream' } };
  const special = SPECIAL[`${method} ${route}`];
  return { body: special === undefined ? sampleOf(document, json.schema, named) : special(named) };
}

/** One file, or the one that makes a folder a skill. */
function uploadTo(route: string): { body: string; headers: Record<string, string> } {
  const isSkill = route.startsWith('/v1/skills');
  const part = isSkill ? 'name="files[]"; filename="matrix/SKILL.md"' : 'name="file"; filename="notes.txt"';
  const text = isSkill ? '---\nname: matrix\ndescription: for the matrix\n---\nDo it.' : 'kept';
  return {
    body: `--part\r\ncontent-disposition: form-data; ${part}\r\ncontent-type: text/plain\r\n\r\n${text}\r\n--part--\r\n`,
    headers: { 'content-type': 'multipart/form-data; boundary=part' },
  };
}

/** Bodies that only their readers understand. */
const SPECIAL: Readonly<Record<string, (named: Named) => unknown>> = {
  'POST /v1/sessions': ({ agent, environment_id }) => ({ agent, environment_id }),
  'POST /v1/sessions/{id}/events': () => ({ events: [message()] }),
  'POST /v1/webhooks': () => ({ url: 'https://example.org/hook', events: '*' }),
  'POST /v1/memory_stores/{id}/memories': () => ({ path: '/notes.md', content: 'kept' }),
  'POST /v1/vaults/{id}/credentials': () => ({
    auth: { type: 'static_bearer', mcp_server_url: 'https://mcp.example.org/mcp', token: 'token-of-the-matrix' },
  }),
  'POST /v1/responses': ({ agent }) => ({ model: agent, input: 'hello' }),
  'POST /v1/chat/completions': ({ agent }) => ({ model: agent, messages: [{ role: 'user', content: 'hello' }] }),
  'POST /api/agents': () => ({ name: 'matrix', channels: ['telegram'] }),
  'POST /v1/agents': () => ({ name: 'matrix', model: 'demo' }),
};

export function queryOf(document: Wire, { operation }: Operation, named: Named): string {
  const needed = (operation.parameters ?? []).filter((one: Wire) => one.in === 'query' && one.required === true);
  const pairs = needed.map((one: Wire) => [one.name, String(one.name in named ? named[one.name] : sampleOf(document, one.schema, named))]);
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs).toString()}`;
}
