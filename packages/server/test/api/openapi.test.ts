import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { PROBLEM_CODES } from '@cloister/api';
import { startTestServer, type TestServer, type Wire } from '../support/server.ts';

const PROBLEM_PAGES = path.resolve(import.meta.dirname, '../../../../docs/problems');

/** Every object in a document. */
function* nodes(value: Wire): Generator<Wire> {
  if (typeof value !== 'object' || value === null) return;
  yield value;
  for (const one of Object.values(value)) yield* nodes(one);
}

/** Of an operation, what it answers when all went well. */
function okOf({ responses }: Wire): Wire {
  return Object.entries<Wire>(responses).find(([status]) => status.startsWith('2'))?.[1];
}

describe('the description of the API', () => {
  let server: TestServer;
  let document: Wire;
  let operations: readonly { readonly name: string; readonly operation: Wire }[];
  before(async () => {
    server = await startTestServer();
    document = (await server.json('GET', '/openapi.json')).body;
    operations = Object.entries<Wire>(document.paths).flatMap(([route, item]) =>
      Object.entries<Wire>(item).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${route}`, operation })),
    );
  });
  after(() => server?.[Symbol.asyncDispose]());

  it('is OpenAPI 3.1, and needs the key like the rest', async () => {
    assert.match(document.openapi, /^3\.1\./);
    assert.equal((await server.request('GET', '/openapi.json', { key: null })).status, 401);
  });

  it('holds the published routes and no other method than the server takes', async () => {
    assert.ok(operations.length >= 28, String(operations.length));
    for (const [route, item] of Object.entries<Wire>(document.paths)) {
      const answer = await server.request('PROPFIND', route.replaceAll(/\{\w+\}/g, 'x'));
      assert.equal(answer.status, 405, route);
      const allowed = (answer.headers.get('allow') ?? '').split(', ').filter((method) => method !== 'HEAD');
      assert.deepEqual(
        Object.keys(item)
          .map((method) => method.toUpperCase())
          .sort(),
        allowed.sort(),
        route,
      );
    }
  });

  it('says for every operation what it answers and what can go wrong', () => {
    for (const { name, operation } of operations) {
      assert.match(operation.operationId, /^\w+$/, name);
      assert.ok(okOf(operation), name);
      const errors = Object.keys(operation.responses).filter((status) => Number(status) >= 400);
      assert.ok(errors.includes('500') && errors.includes('405'), name);
      const isPublic = name.startsWith('GET /health') || name === 'GET /v1/auth/methods';
      const hasLink = name.endsWith('/accept_invitation');
      // It takes no key, but a token or a password of its own.
      const hasToken =
        / \/v1\/auth\/(sign_in|oidc\/start)$/.test(name) || name.endsWith('/callback') || name.endsWith('/agents/{id}/webhook');
      assert.equal(errors.includes('401'), !isPublic && !hasLink, name);
      assert.deepEqual(operation.security, isPublic || hasToken || hasLink ? [] : undefined, name);
      for (const status of errors)
        assert.deepEqual(Object.keys(operation.responses[status].content), ['application/json', 'application/problem+json'], name);
    }
    const ids = operations.map(({ operation }) => operation.operationId);
    assert.equal(new Set(ids).size, ids.length);
  });

  it('has real schemas and no dangling reference', () => {
    for (const { name, operation } of operations) {
      const bodies = [operation.requestBody, okOf(operation)].filter((one) => one !== undefined);
      for (const { schema } of bodies.flatMap((one) => Object.values<Wire>(one.content ?? {})))
        assert.ok(schema.$ref !== undefined || schema.type !== undefined || schema.anyOf !== undefined || schema.oneOf !== undefined, name);
    }
    for (const node of nodes(document)) {
      if (typeof node.$ref !== 'string') continue;
      const target = node.$ref
        .slice(2)
        .split('/')
        .reduce((at: Wire, part: string) => at?.[part], document);
      assert.ok(target, node.$ref);
    }
  });

  it('knows the same problem codes as the table and the pages', () => {
    const table = [...PROBLEM_CODES].sort();
    assert.deepEqual(Object.keys(document['x-problem-codes']).sort(), table);
    assert.deepEqual(
      readdirSync(PROBLEM_PAGES)
        .filter((name) => name !== 'README.md')
        .map((name) => path.basename(name, '.md'))
        .sort(),
      table,
    );
  });
});
