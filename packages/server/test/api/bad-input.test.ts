import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { errorEnvelopeSchema, PROBLEM_KINDS, PROBLEMS, type ProblemCode, problemDocumentSchema } from '@cloister/api';
import { type Answer, startTestServer, type TestServer } from '../support/server.ts';
import { agent, BODIES, environment, UNKNOWN_IDS, UNSUPPORTED } from './bad-input-cases.ts';
import { REQUESTS } from './bad-request-cases.ts';
import { SPENDING } from './bad-spending-cases.ts';

/** What an answer may never show: where the code lies, and how it got there. */
const LEAKS = /\bat \S+ \(|\.ts:\d|node_modules|\/(home|root|tmp|work|usr|var)\//;

function assertProblem({ status, headers, body }: Answer, code: ProblemCode, pointer?: string): void {
  const { kind, fix } = PROBLEMS[code];
  const { error, request_id } = errorEnvelopeSchema.parse(body);
  assert.equal(error.code, code, JSON.stringify(body));
  assert.equal(status, PROBLEM_KINDS[kind].status);
  assert.deepEqual([error.type, error.fix], [PROBLEM_KINDS[kind].type, fix]);
  assert.match(request_id, /^req_[0-9a-f]{32}$/);
  assert.equal(headers.get('request-id'), request_id);
  assert.match(headers.get('content-type') ?? '', /^application\/json/);
  assert.doesNotMatch(JSON.stringify(body), LEAKS);
  if (pointer !== undefined) assert.equal(error.errors?.[0]?.pointer, pointer, JSON.stringify(body));
}

describe('bad input', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server?.[Symbol.asyncDispose]());

  for (const [kind, cases] of Object.entries({
    'an unknown id': UNKNOWN_IDS,
    'a body': BODIES,
    'a field': UNSUPPORTED,
    'a request': REQUESTS,
    spending: SPENDING,
  }))
    describe(kind, () => {
      for (const { what, send, code, pointer, headers } of cases)
        it(`${what} → ${code}`, async () => {
          const answer = await server.json(...send);
          assertProblem(answer, code, pointer);
          for (const [name, value] of Object.entries(headers ?? {})) assert.equal(answer.headers.get(name), value);
          const [method, path, init = {}] = send;
          const accepting = { ...init, headers: { ...init.headers, accept: 'application/problem+json' } };
          const asDocument = await server.json(method, path, accepting);
          assert.equal(asDocument.headers.get('content-type'), 'application/problem+json');
          const document = problemDocumentSchema.parse(asDocument.body);
          assert.equal(asDocument.headers.get('request-id'), document.instance.split('/').at(-1));
          assert.deepEqual(
            [document.type, document.status, document.title, document.detail, document.fix, document.errors],
            [
              `/docs/problems/${code}`,
              answer.status,
              PROBLEMS[code].title,
              answer.body.error.message,
              PROBLEMS[code].fix,
              answer.body.error.errors,
            ],
          );
        });
    });

  it('takes published fields in their empty form', async () => {
    const { status, body } = await server.json('POST', '/v1/agents', agent({ mcp_servers: [], skills: [], multiagent: null }));
    assert.equal(status, 200, JSON.stringify(body));
    const env = await server.json(
      'POST',
      '/v1/environments',
      environment({ type: 'cloud', packages: { pip: [] }, networking: { type: 'none' } }),
    );
    assert.equal(env.status, 200);
    const made = { agent: body.id, environment_id: env.body.id, resources: [], vault_ids: [], budget: null };
    assert.equal((await server.json('POST', '/v1/sessions', { body: made })).status, 200);
  });

  it('keeps every character that is one', async () => {
    const name = '🌍 \u0001\u200b é';
    const { body } = await server.json('POST', '/v1/agents', agent({ name, metadata: { constructor: 'a', toString: 'b' } }));
    assert.equal(body.name, name.trim());
    assert.deepEqual(body.metadata, { constructor: 'a', toString: 'b' });
  });

  it('refuses a body that is not UTF-8', async () => {
    const response = await fetch(`${server.url}/v1/agents`, {
      method: 'POST',
      headers: { 'x-api-key': server.key, 'content-type': 'application/json' },
      body: Buffer.from('{"name":"\xff","model":"demo"}', 'latin1'),
    });
    assertProblem({ status: response.status, headers: response.headers, body: await response.json() }, 'json_malformed');
  });

  it('refuses 2 MB that come without a length, and reads no further', async () => {
    const { answer, sent } = await sendEndless(server);
    assertProblem(answer, 'message_too_large');
    assert.ok(sent < 64 * 1024 * 1024, `${sent} bytes`);
    assert.equal((await server.json('GET', '/health', { key: null })).status, 200);
  });

  it('takes the key as a bearer', async () => {
    const { status } = await server.json('GET', '/v1/agents', { key: null, headers: { authorization: `bearer ${server.key}` } });
    assert.equal(status, 200);
  });
});

/** Sends chunks without a length for as long as the other side takes them. */
function sendEndless(server: TestServer): Promise<{ answer: Answer; sent: number }> {
  return new Promise((resolve, reject) => {
    let sent = 0;
    let isAnswered = false;
    const headers = { 'x-api-key': server.key, 'content-type': 'application/json' };
    const read = async (response: http.IncomingMessage) => {
      isAnswered = true;
      const chunks: Buffer[] = await response.toArray();
      const all = new Headers(Object.entries(response.headers).map(([name, value]): [string, string] => [name, String(value)]));
      resolve({ answer: { status: response.statusCode ?? 0, headers: all, body: JSON.parse(Buffer.concat(chunks).toString()) }, sent });
    };
    const request = http.request(`${server.url}/v1/agents`, { method: 'POST', headers }, (response) => void read(response).catch(reject));
    request.on('error', (error) => {
      if (!isAnswered) reject(error);
    });
    const chunk = Buffer.alloc(64 * 1024, ' ');
    const push = () => {
      if (isAnswered || request.destroyed) return;
      sent += chunk.length;
      request.write(chunk, () => setImmediate(push));
    };
    push();
  });
}
