import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createClient } from '@cloister/api';
import { startTestServer } from '../support/server.ts';

const METHODS = ['get', 'put', 'post', 'delete', 'patch'];

/** Of the contracts of other systems, of browsers, and of programs that are no client of a user. */
const ELSEWHERE: readonly RegExp[] = [
  / \/(webhook|schedule|history|context|tasks|heartbeat)\b/,
  / \/api\//,
  / \/v1\/(chat\/completions|responses|models)\b/,
  / \/v1\/auth\/oidc\//,
  / \/(health\/(live|ready)|metrics|openapi\.json)$/,
  / \/v1\/services\/\{id\}\/callback$/,
];

/** Parameters' names are no part of what is called. */
const shape = (operation: string) => operation.replaceAll(/\{[^}]+\}|\b(ID|latest)\b/g, '*');

it('the client has a method for each operation of the API, and for none that is not there', { timeout: 60_000 }, async () => {
  await using server = await startTestServer();
  const { paths } = (await server.json('GET', '/openapi.json')).body;
  const offered = Object.entries<object>(paths)
    .flatMap(([path, item]) => METHODS.filter((method) => method in item).map((method) => `${method.toUpperCase()} ${path}`))
    .filter((operation) => !ELSEWHERE.some((one) => one.test(operation)));
  const called = new Set<string>();
  const client = createClient({
    url: 'http://x',
    key: 'k',
    fetch: async (input, init) => {
      called.add(shape(`${init?.method} ${new URL(input instanceof Request ? input.url : input).pathname}`));
      return Response.json({}, { status: 404 });
    },
  });
  await callAll(client);
  assert.deepEqual(
    offered.filter((operation) => !called.has(shape(operation))),
    [],
    'these have no method',
  );
  const known = new Set(offered.map(shape));
  assert.deepEqual(
    [...called].filter((one) => !known.has(one)),
    [],
    'these lead nowhere',
  );
});

/** Every method is called for its address alone; what else it wants is filled with whatever it takes. */
async function callAll(part: object): Promise<void> {
  for (const [name, value] of Object.entries(part)) {
    if (typeof value !== 'function') {
      await callAll(value);
      continue;
    }
    const attempts = [['ID', 'ID', 'ID'], [new Blob([]), 'name'], ['ID', { files: {} }], [{ files: {} }], ['ID', { after: 0 }]];
    let outcome = 'refused';
    for (const values of attempts) if (outcome === 'refused') outcome = await outcomeOf(value, values);
    assert.equal(outcome, 'called', `${name} calls nothing`);
  }
}

async function outcomeOf(method: (...values: unknown[]) => unknown, values: readonly unknown[]): Promise<'called' | 'refused'> {
  try {
    const answer = method(...values);
    await (typeof answer === 'object' && answer !== null && Symbol.asyncIterator in answer
      ? (answer as AsyncGenerator).next() // the only things of that kind in the client
      : answer);
    return 'called';
  } catch (error) {
    // The 404 of our own fetch: it came so far.
    return error instanceof Error && error.name === 'ClientError' ? 'called' : 'refused';
  }
}
