import assert from 'node:assert/strict';
import { createHmac, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { noclawHistorySchema, noclawReplySchema } from '@cloister/api';
import { OTHER_KEY, startTestServer, type TestServer, type Wire } from '../../support/server.ts';
import { waitFor } from '../../support/wait-for.ts';

const NOCLAW_KEY = 'a-key-that-noclaw-had-before';
const QUICK = { RETRY_BASE_SECONDS: '0', MAX_TURN_ATTEMPTS: '2' };

interface Post {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Takes callbacks; answers what it is told to, then 200. */
async function startReceiver(statuses: number[] = []): Promise<AsyncDisposable & { readonly url: string; readonly posts: Post[] }> {
  const posts: Post[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      posts.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
      response.writeHead(statuses.shift() ?? 200).end();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return {
    url: `http://127.0.0.1:${address.port}/replies?of=ada`,
    posts,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** As docs/migrate-from-noclaw.md tells receivers to. */
function isSigned({ headers, body }: Post, key: string): boolean {
  const secret = createHmac('sha256', key).update('cloister callback').digest();
  const content = [headers['webhook-id'], headers['webhook-timestamp'], body].join('.');
  const [, given = ''] = String(headers['webhook-signature']).split(',');
  const expected = createHmac('sha256', secret).update(content).digest();
  const actual = Buffer.from(given, 'base64');
  return actual.length === expected.length && timingSafeEqual(actual, expected);
}

describe('NoClaw', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({
      env: { ...QUICK, NOCLAW_API_KEY: NOCLAW_KEY, CONTAINER_TIMEOUT: '5', WEBHOOK_ALLOW_PRIVATE_NETWORK: 'true' },
    });
  });
  after(() => server?.[Symbol.asyncDispose]());

  const webhook = (body: object, headers: Record<string, string> = {}) =>
    server.json('POST', '/webhook', { key: NOCLAW_KEY, body, headers });
  const history = async (user: string, query = ''): Promise<Wire[]> => {
    const { status, body } = await server.json('GET', `/history/${user}${query}`, { key: NOCLAW_KEY });
    assert.equal(status, 200, JSON.stringify(body));
    return noclawHistorySchema.parse(body).history;
  };

  it('answers a message, takes its key either way, and goes on with the conversation', async () => {
    const first = await webhook({ user: 'ada', message: 'hello' });
    assert.equal(first.status, 200, JSON.stringify(first.body));
    const reply = noclawReplySchema.parse(first.body);
    assert.deepEqual([reply.status, reply.response, reply.metadata.user], ['success', 'echo: hello | turns=1', 'ada']);
    assert.deepEqual(reply.metadata.scheduled_tasks, []);
    const second = await server.json('POST', '/webhook', {
      key: null,
      headers: { authorization: `Bearer ${NOCLAW_KEY}` },
      body: { user: 'ada', message: 'and again' },
    });
    assert.equal(second.body.response, 'echo: and again | turns=2');
    const refused = await server.json('POST', '/webhook', { key: null, body: { user: 'ada', message: 'hello' } });
    assert.deepEqual([refused.status, typeof refused.body.detail], [401, 'string']);
  });

  it('gives each request a sandbox of its own, in which the files are those of the user', async () => {
    const text = (await webhook({ user: 'files', message: '[[write note.txt kept]][[text done]]' })).body;
    assert.equal(text.response, 'done');
    const gone = async () => (await server.json('GET', '/v1/sandboxes')).body.data.length === 0;
    await waitFor(gone, { timeoutMs: 10_000, what: 'the end of the sandbox' });
    const { body } = await webhook({ user: 'files', message: 'next' });
    const turn = await server.json('GET', `/v1/sessions/${body.metadata.session_id}/turns/${body.metadata.turn_id}`);
    assert.equal(typeof turn.body.stages.create, 'number', 'it was made for this request');
    const file = await server.request('GET', `/v1/sessions/${body.metadata.session_id}/files/content?path=note.txt`);
    assert.equal(await file.text(), 'kept');
  });

  it('tells the agent the context of a message before the message', async () => {
    const { body } = await webhook({ user: 'ctx', message: 'who?', context: { from: 'the office', tags: ['a'] } });
    assert.match(body.response, /^echo: who\?/);
    const events = await server.json('GET', `/v1/sessions/${body.metadata.session_id}/events?types[]=user.message`);
    const blocks = events.body.data[0].content;
    assert.match(blocks[0].text, /\{"from":"the office","tags":\["a"\]\}/);
    assert.equal((await history('ctx'))[0]?.message, 'who?');
  });

  it('shows the history, the newest first, also of what failed', async () => {
    await webhook({ user: 'log', message: 'one' });
    const failed = await webhook({ user: 'log', message: '[[fail]]' });
    assert.deepEqual([failed.status, typeof failed.body.detail], [500, 'string'], 'a failure is no success');
    await webhook({ user: 'log', message: 'three' });
    const all = await history('log');
    assert.deepEqual(
      all.map(({ message, response, metadata }) => [message, response.split(' |')[0], metadata.outcome]),
      [
        ['three', 'echo: three', 'completed'],
        ['[[fail]]', '', 'failed'],
        ['one', 'echo: one', 'completed'],
      ],
    );
    assert.equal((await history('log', '?limit=1')).length, 1);
    assert.deepEqual(await history('nobody'), []);
  });

  it('gives the agent the context of its user, from the next message on', async () => {
    await webhook({ user: 'bio', message: 'before' });
    const set = await server.json('POST', '/context/bio', { key: NOCLAW_KEY, body: JSON.stringify('You are called Grace.') });
    assert.deepEqual([set.status, set.body], [200, { status: 'updated', user: 'bio' }]);
    const { body } = await webhook({ user: 'bio', message: 'after' });
    assert.match(body.response, /turns=2/, 'the conversation goes on');
    const session = (await server.json('GET', `/v1/sessions/${body.metadata.session_id}`)).body;
    assert.match(session.agent.system, /^You are called Grace\./);
    assert.equal(session.agent.version, 2);
    await server.json('POST', '/context/newcomer', { key: NOCLAW_KEY, body: JSON.stringify('Be brief.') });
    assert.equal((await webhook({ user: 'newcomer', message: 'hi' })).status, 200);
  });

  it('begins anew when the conversation was archived, with the same files', async () => {
    const before = await webhook({ user: 'anew', message: '[[write note.txt kept]][[text done]]' });
    const { session_id: id } = before.body.metadata;
    assert.equal((await server.request('POST', `/v1/sessions/${id}/archive`)).status, 200);
    const { body } = await webhook({ user: 'anew', message: 'again' });
    assert.deepEqual([body.response, body.metadata.session_id === id], ['echo: again | turns=1', false]);
    const file = await server.request('GET', `/v1/sessions/${body.metadata.session_id}/files/content?path=note.txt`);
    assert.equal(await file.text(), 'kept');
  });

  it('takes a hint for the model where it can be had, and lets it be where not', async () => {
    const { status, body } = await webhook({ user: 'hint', message: 'hello', model_hint: 'haiku' });
    assert.equal(status, 200);
    const events = await server.json('GET', `/v1/sessions/${body.metadata.session_id}/events?types[]=user.message`);
    assert.equal(events.body.data[0].model, undefined);
  });

  it('stops what takes too long', async () => {
    const { status, body } = await webhook({ user: 'slow', message: '[[hang]]' });
    assert.deepEqual([status, body.code], [504, 'turn_timeout']);
    assert.equal((await webhook({ user: 'slow', message: 'still there?' })).status, 200);
  });

  it('does two requests of a user one after the other', async () => {
    const answers = await Promise.all(['[[slow 3 50]]', 'second'].map((message) => webhook({ user: 'twice', message })));
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200],
    );
    assert.equal((await history('twice')).length, 2);
  });

  it('posts the answer where it was asked to, signed, and again when it did not arrive', async () => {
    await using receiver = await startReceiver([500]);
    const { status, body } = await webhook({ user: 'async', message: 'later', callback_url: receiver.url });
    assert.deepEqual([status, body.status, body.metadata.user], [202, 'accepted', 'async']);
    await waitFor(() => receiver.posts.length >= 2, { timeoutMs: 20_000, what: 'the second attempt' });
    const [first, second] = receiver.posts;
    assert.ok(first !== undefined && second !== undefined);
    assert.ok(isSigned(first, NOCLAW_KEY) && isSigned(second, NOCLAW_KEY) && !isSigned(first, OTHER_KEY));
    assert.deepEqual([second.body, second.headers['webhook-id']], [first.body, first.headers['webhook-id']]);
    const posted = JSON.parse(first.body);
    assert.deepEqual(
      [posted.status, posted.response, posted.metadata.turn_id],
      ['success', 'echo: later | turns=1', body.metadata.turn_id],
    );
    const failed = await webhook({ user: 'async', message: '[[fail]]', callback_url: receiver.url });
    assert.equal(failed.status, 202);
    await waitFor(() => receiver.posts.length >= 3, { timeoutMs: 20_000, what: 'the failure' });
    const told = JSON.parse(receiver.posts[2]?.body ?? '');
    assert.deepEqual([told.status, typeof told.error.message], ['error', 'string']);
  });

  it('keeps tenants apart, and its key to what a member may', async () => {
    await webhook({ user: 'mine', message: 'hello' });
    const foreign = await server.json('GET', '/history/mine', { key: OTHER_KEY });
    assert.deepEqual(foreign.body, { user: 'mine', history: [] });
    const own = await server.json('POST', '/webhook', { key: OTHER_KEY, body: { user: 'mine', message: 'hello' } });
    assert.equal(own.body.response, 'echo: hello | turns=1');
    assert.equal((await server.json('GET', '/v1/api_keys', { key: NOCLAW_KEY })).status, 403);
    assert.equal((await server.json('GET', '/v1/agents', { key: NOCLAW_KEY })).status, 200);
  });

  it('says what there is of schedules, and 501 where there is nothing', async () => {
    const ask = (method: string, path: string, body?: object) =>
      server.json(method, path, { key: NOCLAW_KEY, ...(body === undefined ? {} : { body }) });
    const plan = { user: 'ada', cron: '0 9 * * 1-5', prompt: 'Good morning' };
    const cases: readonly (readonly [answer: Promise<{ status: number; body: Wire }>, status: number, body?: object])[] = [
      [ask('POST', '/schedule', plan), 501],
      [ask('POST', '/schedule', { ...plan, cron: '99 * * * *' }), 400],
      [ask('POST', '/schedule', { ...plan, cron: 'soon' }), 400],
      [ask('POST', '/schedule', { user: 'ada' }), 422],
      [ask('GET', '/tasks/ada'), 200, { user: 'ada', tasks: [] }],
      [ask('DELETE', '/tasks/7'), 404],
      [ask('POST', '/heartbeat/ada/enable?interval=600'), 501],
      [ask('POST', '/heartbeat/ada/enable?interval=1'), 422],
      [ask('POST', '/heartbeat/ada/disable'), 200, { status: 'disabled', user: 'ada' }],
      [ask('GET', '/heartbeat/ada/status'), 200, { user: 'ada', enabled: false, interval: 1800, last_heartbeat: null }],
    ];
    for (const [answer, status, body] of cases) {
      const told = await answer;
      assert.equal(told.status, status, JSON.stringify(told.body));
      if (body === undefined) assert.ok(told.body.detail.length > 0);
      else assert.deepEqual(told.body, body);
    }
  });

  it('refuses what it cannot take', async () => {
    const cases: readonly (readonly [body: unknown, loc: readonly string[]])[] = [
      [{}, ['body', 'user']],
      [{ user: 'a' }, ['body', 'message']],
      [{ user: '', message: 'x' }, ['body', 'user']],
      [{ user: 'a\nb', message: 'x' }, ['body', 'user']],
      [{ user: 'a', message: ' ' }, ['body', 'message']],
      [{ user: 'a', message: 'x', model_hint: 'gpt' }, ['body', 'model_hint']],
      [{ user: 'a', message: 'x', context: 'text' }, ['body', 'context']],
      [{ user: 'a', message: 'x', callback_url: 'ftp://x' }, ['body', 'callback_url']],
      [{ user: 'a', message: 'x', callback_url: 'http://me:secret@x' }, ['body', 'callback_url']],
      [{ user: 'a', message: 'x', workspace_path: '/data/workspaces/bob' }, ['body', 'workspace_path']],
      ['{', ['body']],
    ];
    for (const [body, loc] of cases) {
      const answer = await server.json('POST', '/webhook', { key: NOCLAW_KEY, body });
      assert.deepEqual([answer.status, answer.body.detail[0].loc], [422, loc], JSON.stringify(answer.body));
    }
    assert.equal((await webhook({ user: 'path', message: 'x', workspace_path: '/data/workspaces/path' })).status, 200);
    assert.equal((await server.json('POST', `/context/${'a'.repeat(200)}`, { key: NOCLAW_KEY, body: '"x"' })).status, 422);
    assert.equal((await server.json('GET', '/history/a?limit=0', { key: NOCLAW_KEY })).status, 422);
    // Users are names and no paths, whatever they look like.
    assert.equal((await webhook({ user: '../../etc', message: 'x' })).status, 200);
  });
});

describe('the key of NoClaw', () => {
  it('is another one when the variable is, and the former counts no more', async () => {
    await using server = await startTestServer({ env: { NOCLAW_API_KEY: NOCLAW_KEY } });
    const answers = async (key: string) => (await server.request('GET', '/history/a', { key })).status;
    assert.equal(await answers(NOCLAW_KEY), 200);
    const { data } = (await server.json('GET', '/v1/api_keys')).body;
    assert.equal(data.find(({ name }: Wire) => name === 'NOCLAW_API_KEY').role, 'member');
    await server.stop();
    await using next = await startTestServer({ dataDir: server.dataDir, env: { NOCLAW_API_KEY: `${NOCLAW_KEY}-2` } });
    const status = async (key: string) => (await next.request('GET', '/history/a', { key })).status;
    assert.deepEqual([await status(NOCLAW_KEY), await status(`${NOCLAW_KEY}-2`)], [401, 200]);
    await next.stop();
    await assert.rejects(startTestServer({ dataDir: server.dataDir, env: { NOCLAW_API_KEY: NOCLAW_KEY } }), /replaced or revoked/);
  });

  it('posts no answer to an address that is private', async () => {
    await using server = await startTestServer({ env: { ...QUICK } });
    await using receiver = await startReceiver();
    const { status } = await server.json('POST', '/webhook', { body: { user: 'a', message: 'x', callback_url: receiver.url } });
    assert.equal(status, 202);
    const attempted = async () =>
      /cloister_delivery_attempts_total\{[^}]*refused[^}]*\} [1-9]/.test(await (await server.request('GET', '/metrics')).text());
    await waitFor(attempted, { timeoutMs: 20_000, what: 'the attempt' });
    assert.equal(receiver.posts.length, 0);
  });
});
