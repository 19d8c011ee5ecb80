import { errorEnvelopeSchema, PROBLEM_KINDS, PROBLEMS, type ProblemCode, problemDocumentSchema } from '@cloister/api';
import { OpenAPIHono, type RouteConfig } from '@hono/zod-openapi';
import type { Hono } from 'hono';
import { z } from 'zod';
import type { AppContext, AppVariables, HttpDeps, Principal } from './context.ts';
import { answerOnce, NO_RESERVATION, type Reservation, readIdempotencyKey } from './idempotency.ts';
import { parseBody, readJson, readQuery } from './input.ts';
import type { Limits } from './limits/limits.ts';

/** One operation: what validates a request is what documents it. */
export interface Route<Q extends z.ZodType, B extends z.ZodType> {
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** In OpenAPI's form, such as `/v1/sessions/{id}`. */
  readonly path: string;
  readonly operationId: string;
  readonly summary: string;
  readonly tag: string;
  readonly query?: Q;
  readonly body?: B;
  /** A body that the handler reads by itself, as it comes. */
  readonly rawBody?: { readonly mediaType: string; readonly description: string };
  readonly headers?: Readonly<Record<string, string>>;
  /** Every POST takes an `Idempotency-Key`; this one's handler sees to it by itself. */
  readonly keepsOwnKeys?: boolean;
  /** Fields of the answer that are shown once and never kept: a repeat under the same key has null there. */
  readonly unkept?: readonly string[];
  /** Answers without a key; auth.ts decides, this says so in the document. */
  readonly isPublic?: boolean;
  /** Of the answer when all went well; 202 says that it is begun. */
  readonly status?: 201 | 202 | 204;
  /** What it answers with 202 instead when it is only begun. */
  readonly accepted?: z.ZodType;
  readonly response: z.ZodType | { readonly mediaType: string; readonly description: string };
  /** What else it may answer when all went well, such as a stream. */
  readonly alsoAnswers?: { readonly mediaType: string; readonly description: string };
  /** The shape of errors, where it is not ours. */
  readonly errorSchema?: z.ZodType;
  /** The status of a code there, where it is not ours. */
  readonly errorStatus?: (code: ProblemCode, status: number) => number;
  /** Codes beyond those any route may answer. */
  readonly problems?: readonly ProblemCode[];
}

export interface RouteInput<Q extends z.ZodType, B extends z.ZodType> {
  readonly c: AppContext;
  readonly tenantId: string;
  /** Undefined only where the route is public. */
  readonly principal: Principal;
  readonly query: z.output<Q>;
  readonly body: z.output<B>;
  /** Of the Idempotency-Key: makes a handler that is called again do the same thing, not another. */
  readonly reservation: Reservation;
  param(name: string): string;
}

export interface RouteTable {
  readonly app: Hono<{ Variables: AppVariables }>;
  readonly document: OpenAPIHono;
  readonly deps: HttpDeps;
  readonly limits: Limits;
  readonly methods: Map<string, Set<string>>;
}

/** Each operation answers errors in these forms: they stand in the document once. */
const ERROR = { $ref: '#/components/schemas/Error' } as const;
const PROBLEM = { $ref: '#/components/schemas/Problem' } as const;
const ALWAYS: readonly ProblemCode[] = ['method_not_allowed', 'bug'];
const WITH_KEY: readonly ProblemCode[] = [
  'credentials_missing',
  'credentials_invalid',
  'permission_denied',
  'tenant_suspended',
  'request_invalid',
  'rate_limited',
  'overloaded',
  'store_unavailable',
];
const WITH_BODY: readonly ProblemCode[] = ['json_malformed', 'content_type_unsupported', 'message_too_large', 'body_timeout', 'disk_full'];
const WITH_IDEMPOTENCY: readonly ProblemCode[] = ['idempotency_mismatch', 'idempotency_in_flight'];
const IDEMPOTENCY_HEADER = {
  'Idempotency-Key': 'The same key with the same body within 24 h answers the first answer again and does nothing else',
};

/** Registers an operation with the router and the document at once. The handler gets input that is already right. */
export function route<Q extends z.ZodType, B extends z.ZodType>(
  table: RouteTable,
  definition: Route<Q, B>,
  handler: (input: RouteInput<Q, B>) => Promise<Response | object>,
): void {
  const { app, deps } = table;
  const reading = { ...deps, maxBytes: deps.maxBodyBytes };
  const once = { requests: deps.store.requests, log: deps.log, leaseMs: deps.requestLeaseMs, sealer: deps.sealer };
  table.document.openAPIRegistry.registerPath(toRouteConfig(definition));
  const path = definition.path.replaceAll(/\{(\w+)\}/g, ':$1');
  table.methods.set(path, (table.methods.get(path) ?? new Set()).add(definition.method.toUpperCase()));
  app.on(definition.method.toUpperCase(), path, async (c) => {
    // Absent schemas leave their field undefined, as the handler's types say.
    const query = (definition.query === undefined ? undefined : readQuery(c, definition.query)) as z.output<Q>;
    const key = takesKey(definition) ? readIdempotencyKey(c) : undefined;
    const json = definition.body === undefined ? null : await readJson(c, reading);
    const body = (definition.body === undefined ? undefined : parseBody(definition.body, json)) as z.output<B>;
    const tenantId = c.get('principal')?.tenantId ?? '';
    const handle = async (reservation: Reservation): Promise<Response> => {
      const result = await handler({
        c,
        tenantId,
        principal: c.get('principal'),
        query,
        body,
        reservation,
        param: (name) => c.req.param(name) ?? '',
      });
      if (result instanceof Response) return result;
      return definition.status === 204 ? c.body(null, 204) : c.json(result, definition.status ?? 200);
    };
    return key === undefined
      ? handle(NO_RESERVATION)
      : answerOnce(once, { c, tenantId, key, json, unkept: definition.unkept ?? [] }, handle);
  });
}

function takesKey({ method, keepsOwnKeys }: Pick<Route<z.ZodType, z.ZodType>, 'method' | 'keepsOwnKeys'>): boolean {
  return method === 'post' && keepsOwnKeys !== true;
}

function toRouteConfig<Q extends z.ZodType, B extends z.ZodType>(definition: Route<Q, B>): RouteConfig {
  const { response } = definition;
  const ok =
    definition.status === 204
      ? { description: 'Done' }
      : 'mediaType' in response
        ? { description: response.description, content: { [response.mediaType]: { schema: textOf(response.mediaType) } } }
        : { description: 'Done', content: { 'application/json': { schema: response }, ...also(definition.alsoAnswers) } };
  const isPublic = definition.isPublic ?? false;
  const codes = new Set([
    ...(isPublic ? [] : WITH_KEY),
    ...ALWAYS,
    ...(definition.body === undefined ? [] : WITH_BODY),
    ...(takesKey(definition) ? WITH_IDEMPOTENCY : []),
    ...(definition.problems ?? []),
  ]);
  const parameters = [...definition.path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => ({
    name,
    in: 'path' as const,
    required: true,
    schema: { type: 'string' as const },
  }));
  const headers = Object.entries({ ...(takesKey(definition) ? IDEMPOTENCY_HEADER : {}), ...definition.headers }).map(
    ([name, description]) => ({
      name,
      in: 'header' as const,
      required: false,
      description,
      schema: { type: 'string' as const },
    }),
  );
  return {
    method: definition.method,
    path: definition.path,
    operationId: definition.operationId,
    summary: definition.summary,
    tags: [definition.tag],
    ...(isPublic ? { security: [] } : {}),
    parameters: [...parameters, ...headers],
    request: {
      // A query's schema is an object schema; the generic alone does not say so.
      ...(definition.query === undefined ? {} : { query: definition.query as unknown as z.ZodObject }),
      ...(definition.body === undefined ? {} : { body: { required: true, content: { 'application/json': { schema: definition.body } } } }),
      ...(definition.rawBody === undefined ? {} : { body: rawBody(definition.rawBody) }),
    },
    responses: {
      [definition.status ?? 200]: ok,
      ...(definition.accepted === undefined
        ? {}
        : { 202: { description: 'Begun', content: { 'application/json': { schema: definition.accepted } } } }),
      ...errorResponses(codes, definition),
    },
  };
}

/** JSON without a schema of its own is some object; all else is text, or bytes. */
function textOf(mediaType: string) {
  return { type: mediaType === 'application/json' ? ('object' as const) : ('string' as const) };
}

function rawBody({ mediaType, description }: { readonly mediaType: string; readonly description: string }) {
  return { required: true, description, content: { [mediaType]: { schema: { type: 'string' as const, format: 'binary' } } } };
}

function also(answer: Route<z.ZodType, z.ZodType>['alsoAnswers']) {
  return answer === undefined ? {} : { [answer.mediaType]: { schema: { type: 'string' as const, description: answer.description } } };
}

function errorResponses(
  codes: ReadonlySet<ProblemCode>,
  { errorSchema, errorStatus = (_, status) => status }: Pick<Route<z.ZodType, z.ZodType>, 'errorSchema' | 'errorStatus'>,
): RouteConfig['responses'] {
  const byStatus = Map.groupBy(codes, (code) => errorStatus(code, PROBLEM_KINDS[PROBLEMS[code].kind].status));
  return Object.fromEntries(
    [...byStatus].map(([status, group]) => [
      status,
      {
        description: group.map((code) => `\`${code}\`: ${PROBLEMS[code].title}`).join('\n\n'),
        content: { 'application/json': { schema: errorSchema ?? ERROR }, 'application/problem+json': { schema: PROBLEM } },
      },
    ]),
  );
}

/** The OpenAPI 3.1 document of everything registered, every problem code included. */
export function openApiDocument(table: RouteTable): object {
  const document = table.document.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Cloister',
      version: table.deps.version,
      description: 'Self-hosted Managed Agents: each agent in its own hardened container, no message lost.',
      license: { name: 'Apache-2.0' },
    },
    security: [{ apiKey: [] }, { bearer: [] }],
  });
  return { ...document, 'x-problem-codes': PROBLEMS };
}

/** Collects the operations; requests are served by the router itself. */
export function createDocument(): OpenAPIHono {
  const document = new OpenAPIHono();
  document.openAPIRegistry.registerComponent('securitySchemes', 'apiKey', { type: 'apiKey', in: 'header', name: 'X-API-Key' });
  document.openAPIRegistry.registerComponent('securitySchemes', 'bearer', { type: 'http', scheme: 'bearer' });
  // What zod makes of it is of JSON Schema 2020-12, as OpenAPI 3.1 takes it.
  for (const [name, schema] of [
    ['Error', errorEnvelopeSchema],
    ['Problem', problemDocumentSchema],
  ] as const)
    document.openAPIRegistry.registerComponent('schemas', name, z.toJSONSchema(schema, { io: 'output' }) as object);
  return document;
}
