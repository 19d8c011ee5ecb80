import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import Ajv from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { fill, furnish, type Household, type Operation, operationsOf, placesOf } from '../support/access-matrix.ts';
import { type Chance, chanceOf, generated, mutated } from '../support/schema-fuzz.ts';
import { startTestServer, type TestServer, type Wire } from '../support/server.ts';

/** `CLOISTER_FUZZ_SEED` has a run again; `CLOISTER_FUZZ_REQUESTS` makes it longer. */
const SEED = Number(process.env.CLOISTER_FUZZ_SEED ?? 20_261);
const REQUESTS = Number(process.env.CLOISTER_FUZZ_REQUESTS ?? 20_000);
const AT_ONCE = 16;
/** Things are used up by what removes them, and made anew after so many requests. */
const REFURNISH = 2500;

describe('requests by chance, from the description of the API', { timeout: 900_000 }, () => {
  let server: TestServer;
  let document: Wire;
  let operations: readonly Operation[];
  let tenants = 0;
  before(async () => {
    server = await startTestServer({ env: { MAX_CONCURRENT_SANDBOXES: '40', PRESTART_SANDBOXES: 'false', SANDBOX_IDLE_SECONDS: '5' } });
    document = (await server.json('GET', '/openapi.json')).body;
    operations = operationsOf(document);
  });
  after(() => server?.[Symbol.asyncDispose]());

  /** A tenant of its own, with a key that none of its requests can take away. */
  async function household(): Promise<Household> {
    const id = `fuzz-${++tenants}`;
    const { key: owner } = (await server.json('POST', '/v1/tenants', { body: { id, name: id } })).body;
    const victim = `${id}-victim`;
    await server.json('POST', '/v1/tenants', { body: { id: victim, name: victim } });
    const made = async (route: string, body: object) => (await server.json('POST', route, { key: owner, body })).body.id;
    const [agent, environment] = [
      await made('/v1/agents', { name: 'one', model: 'demo' }),
      await made('/v1/environments', { name: 'here' }),
    ];
    const named = {
      agent,
      agent_id: agent,
      environment_id: environment,
      email: `${id}@example.org`,
      path: 'notes.txt',
      to: 'other.txt',
      model: 'demo',
    };
    const one: Household = {
      tenant: id,
      keys: { owner },
      ids: new Map([['/v1/tenants', victim]]),
      named: { ...named, scope: { type: 'tenant' } },
    };
    await furnish(server, document, operations, one);
    return one;
  }

  it(`${REQUESTS} of them: nothing breaks, and every answer is as the description says`, async (t) => {
    const check = createCheck(document);
    const chance = chanceOf(SEED);
    const faults = new Map<string, string>();
    const statuses = new Map<number, number>();
    let place = await household();
    for (let done = 0; done < REQUESTS; done += AT_ONCE) {
      if (done > 0 && Math.floor(done / REFURNISH) !== Math.floor((done - AT_ONCE) / REFURNISH)) place = await household();
      await Promise.all(
        Array.from({ length: AT_ONCE }, async () => {
          const one = chance.pick(operations);
          const request = requestOf(document, one, place, chance);
          const { status, fault } = await send(server, one, request, check);
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
          if (fault !== undefined && !faults.has(`${one.name} ${status}`))
            faults.set(`${one.name} ${status}`, `${fault}\n  ${JSON.stringify(request).slice(0, 800)}`);
        }),
      );
    }
    t.diagnostic(
      `seed ${SEED}, ${operations.length} operations: ${[...statuses]
        .toSorted(([one], [other]) => one - other)
        .map(([status, count]) => `${count} × ${status}`)
        .join(', ')}`,
    );
    assert.deepEqual(
      [...faults].map(([name, fault]) => `${name}: ${fault}`),
      [],
    );
    const good = [...statuses].filter(([status]) => status < 300).reduce((sum, [, count]) => sum + count, 0);
    assert.ok(good > REQUESTS / 20, `only ${good} were taken, so little was tried`);
  });
});

interface FuzzRequest {
  readonly path: string;
  readonly key: string | null;
  readonly body?: unknown;
  readonly headers: Readonly<Record<string, string>>;
}

function requestOf(document: Wire, one: Operation, place: Household, chance: Chance): FuzzRequest {
  const key = chance.oneIn(40) ? null : (place.keys.owner ?? null);
  const path = pathOf(one, place, chance) + queryOf(document, one, place, chance);
  const content = one.operation.requestBody?.content;
  if (content === undefined || chance.oneIn(60)) return { path, key, headers: {} };
  const type = content['application/json'] === undefined ? (Object.keys(content)[0] ?? '') : 'application/json';
  if (type !== 'application/json' || chance.oneIn(50))
    return {
      path,
      key,
      body: chance.pick(['', 'x', '{', '[1', '{"a":1}', '\u0000']),
      headers: { 'content-type': chance.oneIn(5) ? 'text/odd' : type },
    };
  let body = generated(document, content[type].schema, chance);
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) {
    // What only names a thing is useless unless it is one that there is.
    const real = Object.entries(place.named).filter(([name]) => name in (body as object) && !chance.oneIn(10));
    body = { ...body, ...Object.fromEntries(real) };
  }
  if (!chance.oneIn(3)) body = mutated(body, chance);
  return { path, key, body, headers: chance.oneIn(30) ? { 'idempotency-key': chance.pick(['k', '', 'x'.repeat(300)]) } : {} };
}

/** Ids that there are, mostly; else ones of the same form, or of none. */
function pathOf(one: Operation, place: Household, chance: Chance): string {
  const real = fill(one.route, place);
  if (real !== undefined && !chance.oneIn(4)) return real;
  let path = '';
  let at = 0;
  for (const { start, end } of placesOf(one.route)) {
    const known = place.ids.get(one.route.slice(0, start - 1)) ?? 'x_0';
    const id = chance.pick([known, known.replace(/.{4}$/, '0000'), 'x', '%00', '..', 'ses_', 'ÿ', '0'.repeat(300)]);
    path += one.route.slice(at, start) + (id === '%00' ? id : encodeURIComponent(id === '..' ? '...' : id));
    at = end;
  }
  return path + one.route.slice(at);
}

function queryOf(document: Wire, { operation }: Operation, place: Household, chance: Chance): string {
  const query = new URLSearchParams();
  for (const { in: where, name, required, schema } of operation.parameters ?? []) {
    // Waiting is no fault, and takes its time.
    if (where !== 'query' || name === 'wait' || (required !== true && !chance.oneIn(3))) continue;
    const value = name in place.named ? place.named[name] : generated(document, schema, chance);
    const given = chance.oneIn(5) ? mutated(value, chance) : value;
    for (const each of Array.isArray(given) ? given : [given])
      query.append(name, typeof each === 'object' ? JSON.stringify(each) : String(each));
  }
  if (chance.oneIn(30)) query.append('unknown', 'x');
  const text = query.toString();
  return text === '' ? '' : `?${text}`;
}

type Check = (one: Operation, status: number, type: string, body: unknown) => string | undefined;

/** Holds an answer against the schema that the document has for it. */
function createCheck(document: Wire): Check {
  const ajv = addFormats.default(new Ajv.default({ strict: false, validateFormats: true, logger: false }));
  ajv.addSchema(document, 'api');
  const escaped = (part: string) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'));
  return (one, status, type, body) => {
    const answer = one.operation.responses[String(status)];
    if (answer === undefined) return `${status} is no answer of this operation`;
    const content = answer.content?.[type];
    if (content === undefined) return answer.content === undefined ? undefined : `${type} is no form of the answer ${status}`;
    if (content.schema === undefined) return undefined;
    const where = ['paths', one.route, one.method.toLowerCase(), 'responses', String(status), 'content', type, 'schema']
      .map(escaped)
      .join('/');
    const validate = ajv.getSchema(`api#/${where}`);
    if (validate === undefined) return `there is no schema at ${where}`;
    return validate(body) ? undefined : `${JSON.stringify(validate.errors).slice(0, 400)} in ${JSON.stringify(body).slice(0, 400)}`;
  };
}

/** Other systems' clients are told in their own form what this server does not do. */
const SAID = new Set([501]);

async function send(
  server: TestServer,
  one: Operation,
  request: FuzzRequest,
  check: Check,
): Promise<{ status: number; fault: string | undefined }> {
  const { path, ...init } = request;
  try {
    const response = await server.request(one.method, path, { ...init, signal: AbortSignal.timeout(60_000) });
    const { status } = response;
    const type = (response.headers.get('content-type') ?? '').split(';')[0] ?? '';
    if (!/^application\/(problem\+)?json$/.test(type)) {
      await response.body?.cancel();
      return { status, fault: status >= 400 && one.method !== 'HEAD' ? `an error as ${type === '' ? 'nothing' : type}` : undefined };
    }
    const body = await response.json();
    if (status >= 500 && !SAID.has(status) && !isUnconfigured(body)) return { status, fault: JSON.stringify(body).slice(0, 600) };
    return { status, fault: check(one, status, type, body) };
  } catch (error) {
    return { status: 0, fault: String(error instanceof Error ? (error.cause ?? error) : error) };
  }
}

/** No provider has a key on this server, which is an answer like another. */
function isUnconfigured(body: Wire): boolean {
  return (body?.error?.code ?? body?.code) === 'provider_not_configured';
}
