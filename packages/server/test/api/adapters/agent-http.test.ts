import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { agentHttpChatResponseSchema, agentHttpSessionSchema } from '@cloister/api';
import { OTHER_KEY, startTestServer, type TestServer, type Wire } from '../../support/server.ts';
import { waitFor } from '../../support/wait-for.ts';
import { COLLECTION, WALKTHROUGH } from './agent-http-requests.ts';
import { chunksOf, sendPublished } from './published.ts';

const SESSIONS = '/api/v1/sessions';

describe('Claude Agent HTTP', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ env: { CLAUDE_AGENT_MAX_SESSIONS_PER_USER: '4', RETRY_BASE_SECONDS: '0', MAX_TURN_ATTEMPTS: '2' } });
  });
  after(() => server?.[Symbol.asyncDispose]());

  async function session(user: string, more: object = {}, key?: string): Promise<string> {
    const { status, body } = await server.json('POST', SESSIONS, {
      body: { user_id: user, ...more },
      ...(key === undefined ? {} : { key }),
    });
    assert.equal(status, 201, JSON.stringify(body));
    return body.session_id;
  }
  const chat = (sessionId: string, message: string, more: object = {}, headers: Record<string, string> = {}) =>
    server.json('POST', '/api/v1/chat', { body: { session_id: sessionId, message, ...more }, headers });
  const isRunning = (sessionId: string) =>
    waitFor(async () => (await server.json('GET', `/v1/sessions/${sessionId}`)).body.status === 'running', {
      timeoutMs: 10_000,
      what: 'its turn',
    });

  it('answers its published collection', async () => {
    const sent = await sendPublished(server.url, server.key, COLLECTION);
    const stream = sent.find(({ request }) => request.path.endsWith('/stream'))?.text ?? '';
    const chunks = chunksOf(stream);
    assert.deepEqual(Object.keys(chunks[0] ?? {}), ['type', 'text', 'tool_name', 'tool_input', 'error']);
    assert.deepEqual(chunks.at(-1), { type: 'done', text: null, tool_name: null, tool_input: null, error: null });
    assert.equal(
      chunks.map(({ text }) => (typeof text === 'string' ? text : '')).join(''),
      'echo: Write a hello world program in Python | turns=2',
    );
    assert.ok(stream.split('\n\n').every((frame) => frame === '' || frame.startsWith('data: ') || frame.startsWith(':')));
  });

  it('answers the way through of its documents', async () => {
    const sent = await sendPublished(server.url, server.key, WALKTHROUGH);
    assert.match(sent[3]?.text ?? '', /turns=2/, 'one conversation');
    assert.equal(JSON.parse(sent[4]?.text ?? '').message_count, 2);
    assert.deepEqual(JSON.parse(sent[6]?.text ?? '').detail, 'Session not found or expired');
    const [problem] = JSON.parse(sent[7]?.text ?? '').detail;
    assert.deepEqual(
      [problem.loc, problem.msg],
      [['body', 'user_id'], 'User ID can only contain alphanumeric characters, underscore, and hyphen'],
    );
  });

  it('gives back what a session was made with, and lists by user', async () => {
    const metadata = { env: 'production', nested: { list: [1, null] } };
    const first = await session('lister', { subdir: 'a/b', metadata });
    const second = await session('lister');
    const { body } = await server.json('GET', `${SESSIONS}/${first}`);
    agentHttpSessionSchema.parse(body);
    assert.deepEqual([body.user_id, body.cwd, body.metadata, body.status], ['lister', '/workspace/a/b', metadata, 'active']);
    assert.deepEqual((await server.json('GET', `${SESSIONS}?user_id=lister`)).body, [second, first]);
    const entry = await server.json('GET', `/v1/sessions/${second}/files?path=a`);
    assert.deepEqual(
      entry.body.data.map(({ path }: { path: string }) => path),
      ['a/b'],
      'sessions of a user have the same files',
    );
  });

  it('keeps tenants, users and other sessions apart', async () => {
    const id = await session('shared');
    const other = await session('shared', {}, OTHER_KEY);
    for (const [method, route] of [
      ['GET', `${SESSIONS}/${id}`],
      ['POST', `${SESSIONS}/${id}/resume`],
      ['DELETE', `${SESSIONS}/${id}`],
    ] as const) {
      const foreign = await server.json(method, route, { key: OTHER_KEY });
      const missing = await server.json(method, route.replace(id, 'ses_0'), { key: OTHER_KEY });
      assert.deepEqual([foreign.status, foreign.body], [404, missing.body], route);
    }
    const body = { session_id: id, message: 'hello' };
    for (const route of ['/api/v1/chat', '/api/v1/chat/stream']) {
      const { status, body: told } = await server.json('POST', route, { key: OTHER_KEY, body });
      assert.deepEqual([status, told.detail], [404, 'Session not found or expired']);
    }
    assert.deepEqual((await server.json('GET', `${SESSIONS}?user_id=shared`, { key: OTHER_KEY })).body, [other]);
    // An ordinary session is none of a user's.
    const plain = await server.createSession();
    assert.equal((await server.json('GET', `${SESSIONS}/${plain}`)).status, 404);
    const { status, body: refused } = await server.json('GET', SESSIONS, { key: null });
    assert.deepEqual([status, typeof refused.detail], [401, 'string']);
  });

  it('refuses what it cannot take, in the words its clients know', async () => {
    const cases: readonly (readonly [path: string, body: unknown, status: number, loc: readonly string[] | undefined])[] = [
      [SESSIONS, {}, 422, ['body', 'user_id']],
      [SESSIONS, { user_id: 'a'.repeat(65) }, 422, ['body', 'user_id']],
      [SESSIONS, { user_id: 'a', subdir: 'x'.repeat(201) }, 422, ['body', 'subdir']],
      [SESSIONS, { user_id: 'a', subdir: '../up' }, 400, undefined],
      [SESSIONS, { user_id: 'a', subdir: '/abs' }, 400, undefined],
      [SESSIONS, { user_id: 'a', subdir: 'a\u0000b' }, 422, ['body', 'subdir']],
      [SESSIONS, { user_id: 'a', metadata: { big: 'x'.repeat(20_000) } }, 422, ['body', 'metadata']],
      [SESSIONS, '{"user_id":', 422, ['body']],
      ['/api/v1/chat', { session_id: 'ses_0', message: '' }, 422, ['body', 'message']],
      ['/api/v1/chat', { session_id: 'ses_0', message: '  ' }, 422, ['body', 'message']],
      ['/api/v1/chat', { session_id: 'ses_0', message: 'x'.repeat(100_001) }, 422, ['body', 'message']],
      ['/api/v1/chat', { session_id: 'a/b', message: 'x' }, 422, ['body', 'session_id']],
      ['/api/v1/chat', { session_id: 'ses_0', message: 'x', timeout: 601 }, 422, ['body', 'timeout']],
      ['/api/v1/chat', { session_id: 'ses_0', message: 'x' }, 404, undefined],
      ['/api/v1/chat/stream', { session_id: 'ses_0', message: 'x' }, 404, undefined],
      ['/api/v1/nothing', {}, 404, undefined],
    ];
    for (const [path, body, status, loc] of cases) {
      const answer = await server.json('POST', path, { body });
      assert.equal(answer.status, status, JSON.stringify([path, answer.body]));
      if (loc === undefined) assert.equal(typeof answer.body.detail, 'string');
      else assert.deepEqual(answer.body.detail[0].loc, loc);
    }
    assert.deepEqual((await server.json('PUT', SESSIONS, { body: {} })).status, 405);
    assert.deepEqual((await server.json('GET', `${SESSIONS}?user_id=a%20b`)).body.detail[0].loc, ['query', 'user_id']);
    // What is unknown is left aside, as there.
    await session('loose', { init_message: 'Hello', mood: 'fine' });
  });

  it('answers 429 while a session is busy, to one of many at once, and goes on after', async () => {
    const id = await session('busy');
    const answers = await Promise.all(Array.from({ length: 5 }, () => chat(id, '[[slow 10 50]]')));
    const refused = answers.filter(({ status }) => status === 429);
    assert.deepEqual([answers.filter(({ status }) => status === 200).length, refused.length], [1, 4]);
    for (const { body, headers } of refused) {
      assert.equal(body.detail, 'Session is busy processing another request');
      assert.match(headers.get('retry-after') ?? '', /^[1-9]\d*$/);
    }
    const { status, body } = await chat(id, 'next');
    agentHttpChatResponseSchema.parse(body);
    assert.deepEqual([status, body.text], [200, 'echo: next | turns=2']);
  });

  it('tells of tools, and of failures', async () => {
    const id = await session('tools');
    const said = `[[tool Bash {"command":"ls"}]][[text done]]`;
    const { body } = await chat(id, said);
    assert.deepEqual([body.text, body.tool_calls], ['done', [{ tool: 'Bash', input: { command: 'ls' } }]]);
    const stream = await server.request('POST', '/api/v1/chat/stream', { body: { session_id: id, message: said } });
    assert.match(stream.headers.get('content-type') ?? '', /^text\/event-stream/);
    assert.deepEqual([stream.headers.get('x-accel-buffering'), /no-cache/.test(stream.headers.get('cache-control') ?? '')], ['no', true]);
    assert.deepEqual(
      chunksOf(await stream.text()).map(({ type, tool_name, tool_input, text }) => [type, tool_name, tool_input, text]),
      [
        ['tool_use', 'Bash', { command: 'ls' }, null],
        ['text_delta', null, null, 'done'],
        ['done', null, null, null],
      ],
    );
    const failed = await chat(id, '[[fail]]');
    assert.deepEqual([failed.status, typeof failed.body.detail], [500, 'string']);
    const broken = await server.request('POST', '/api/v1/chat/stream', { body: { session_id: id, message: '[[fail]]' } });
    const chunks = chunksOf(await broken.text());
    assert.deepEqual([broken.status, chunks.at(-1)?.type, typeof chunks.at(-1)?.error], [200, 'error', 'string']);
  });

  it('stops a turn at its timeout, and when its client has gone', async () => {
    const id = await session('late');
    const late = await chat(id, '[[hang]]', { timeout: 1 });
    assert.deepEqual([late.status, late.body.code], [504, 'turn_timeout']);
    const left = new AbortController();
    const gone = server.request('POST', '/api/v1/chat', { body: { session_id: id, message: '[[hang]]' }, signal: left.signal });
    await isRunning(id);
    left.abort();
    await assert.rejects(gone);
    const free = async () => (await chat(id, 'free?')).status === 200;
    await waitFor(free, { timeoutMs: 10_000, what: 'the end of its turn' });
    const leaving = new AbortController();
    const stream = await server.request('POST', '/api/v1/chat/stream', {
      body: { session_id: id, message: '[[hang]]' },
      signal: leaving.signal,
    });
    assert.equal(stream.status, 200);
    await isRunning(id);
    leaving.abort();
    await waitFor(free, { timeoutMs: 10_000, what: 'the end of its stream' });
  });

  it('does nothing twice under an Idempotency-Key, and lets its client come back', async () => {
    const id = await session('once');
    const key = { 'idempotency-key': 'chat-1' };
    const left = new AbortController();
    const body = { session_id: id, message: '[[slow 5 100]]' };
    const gone = server.request('POST', '/api/v1/chat', { body, headers: key, signal: left.signal });
    await isRunning(id);
    left.abort();
    await assert.rejects(gone);
    const again = await chat(id, body.message, {}, key);
    assert.deepEqual([again.status, again.body.text], [200, 'piece0 piece1 piece2 piece3 piece4 ']);
    assert.equal((await server.json('GET', `${SESSIONS}/${id}`)).body.message_count, 1);
    const create = () => server.json('POST', SESSIONS, { body: { user_id: 'once' }, headers: { 'idempotency-key': 'make-1' } });
    const made = await create();
    assert.deepEqual([made.status, (await create()).body], [201, made.body]);
  });

  it('gives a user no more sessions than allowed, and takes deleted ones back', async () => {
    const ids: string[] = [];
    for (let count = 0; count < 4; count++) ids.push(await session('many'));
    const refused = await server.json('POST', SESSIONS, { body: { user_id: 'many' } });
    assert.deepEqual([refused.status, refused.body.code], [429, 'user_session_limit_reached']);
    assert.ok(refused.headers.get('retry-after'));
    const busy = chat(ids[0] ?? '', '[[hang]]');
    await isRunning(ids[0] ?? '');
    assert.equal((await server.request('DELETE', `${SESSIONS}/${ids[0]}`)).status, 204, 'also one that works');
    assert.notEqual((await busy).status, 200);
    await session('many');
  });
});

describe('sessions of Claude Agent HTTP that are old', () => {
  it('are as if they were not, and count no more', async () => {
    await using server = await startTestServer({ env: { CLAUDE_AGENT_SESSION_TTL: '1', CLAUDE_AGENT_MAX_SESSIONS_PER_USER: '1' } });
    const { body } = await server.json('POST', SESSIONS, { body: { user_id: 'ada' } });
    const route = `${SESSIONS}/${body.session_id}`;
    await waitFor(async () => (await server.json('GET', route)).status === 404, { timeoutMs: 10_000, what: 'its end' });
    assert.deepEqual((await server.json('GET', SESSIONS)).body, []);
    assert.equal((await server.json('POST', `${route}/resume`)).status, 404);
    assert.equal((await server.json('POST', SESSIONS, { body: { user_id: 'ada' } })).status, 201);
    // What is over is removed in the next round, of which there is one at the start.
    await server.restart();
    const native = `/v1/sessions/${body.session_id}`;
    await waitFor(async () => (await server.json('GET', native)).status === 404, { timeoutMs: 20_000, what: 'its removal' });
  });
});

describe('the config.yaml of Claude Agent HTTP', () => {
  it('makes the agents of users, with tools, MCP servers and the skills of plugins', async () => {
    const directory = await mkdtemp(path.join(os.tmpdir(), 'cloister-agent-http-'));
    await mkdir(path.join(directory, 'plugin', 'skills', 'counting'), { recursive: true });
    await writeFile(
      path.join(directory, 'plugin', 'skills', 'counting', 'SKILL.md'),
      '---\nname: counting\ndescription: Counts.\n---\nCount.\n',
    );
    const file = path.join(directory, 'config.yaml');
    await writeFile(
      file,
      `defaults:
  system_prompt: You count.
  permission_mode: acceptEdits
  allowed_tools: [Bash, mcp__tools__add]
mcp_servers:
  tools: { type: stdio, command: node, args: [server.mjs], env: { MODE: quiet } }
  docs: { type: sse, url: "https://docs.example.com/mcp" }
plugins:
  - { type: local, path: ${path.join(directory, 'plugin')} }
`,
    );
    try {
      await using server = await startTestServer({ env: { CLAUDE_AGENT_CONFIG_FILE: file } });
      const { status, body } = await server.json('POST', SESSIONS, { body: { user_id: 'ada' } });
      assert.equal(status, 201, JSON.stringify(body));
      const { agent } = (await server.json('GET', `/v1/sessions/${body.session_id}`)).body;
      assert.equal(agent.system, 'You count.');
      const [toolset, tools, docs] = agent.tools;
      const enabled = toolset.configs.filter((one: Wire) => one.enabled).map((one: Wire) => one.name);
      assert.deepEqual([enabled.sort(), toolset.default_config.enabled], [['bash', 'edit', 'glob', 'grep', 'read', 'write'], false]);
      assert.deepEqual([tools.mcp_server_name, tools.default_config.enabled, tools.configs[0].name], ['tools', false, 'add']);
      assert.deepEqual([docs.mcp_server_name, docs.default_config.enabled], ['docs', false]);
      assert.deepEqual(
        agent.mcp_servers.map(({ type, name }: Wire) => [type, name]),
        [
          ['stdio', 'tools'],
          ['url', 'docs'],
        ],
      );
      const { data: skills } = (await server.json('GET', '/v1/skills')).body;
      assert.deepEqual(
        agent.skills.map(({ skill_id: id }: Wire) => id),
        skills.map(({ id }: Wire) => id),
      );
      assert.equal(skills[0].display_name, 'counting');
      await server.json('POST', SESSIONS, { body: { user_id: 'ada' } });
      assert.equal((await server.json('GET', '/v1/skills')).body.data.length, 1, 'made once');
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

describe('the root', () => {
  it('tells programs where things are, and brings browsers to the dashboard', async () => {
    await using server = await startTestServer();
    const page = await fetch(server.url, { headers: { accept: 'text/html' }, redirect: 'manual' });
    assert.deepEqual([page.status, page.headers.get('location')], [302, '/dashboard/']);
    assert.equal((await server.json('GET', '/', { key: null })).body.docs, '/docs');
  });
});

describe('an adapter that is switched off', () => {
  it('is not there', async () => {
    await using server = await startTestServer({ env: { ADAPTERS: 'openai' } });
    for (const route of [SESSIONS, '/history/ada']) {
      const { status, body } = await server.json('GET', route);
      assert.deepEqual([status, body.error.code], [404, 'route_not_found'], route);
    }
    const { paths } = (await server.json('GET', '/openapi.json')).body;
    assert.deepEqual(
      Object.keys(paths).filter((path) => path.startsWith('/api/') || path === '/webhook'),
      [],
    );
  });
});
