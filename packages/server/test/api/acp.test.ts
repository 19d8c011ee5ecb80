import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { Readable, Writable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import * as acp from '@agentclientprotocol/sdk';
import { createWebSocketStream } from '@agentclientprotocol/sdk/experimental/ws-client';
import { WebSocket } from 'ws';
import { freePort } from '../../../../test/support/free-port.ts';
import { programEnvironment } from '../../../../test/support/program-environment.ts';
import { startTestServer, type TestServer, type Wire } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const MAIN = path.resolve(import.meta.dirname, '../../src/cli/main.ts');
const WAIT = { timeoutMs: 30_000 };

interface Editor extends AsyncDisposable {
  readonly agent: acp.ClientContext;
  readonly updates: acp.SessionNotification[];
  /** Questions that wait, with the way to answer them. */
  readonly questions: {
    readonly request: acp.RequestPermissionRequest;
    answer(optionId: string | undefined): void;
    readonly signal: AbortSignal;
  }[];
  said(): string;
}

/** An editor with `cloister acp` as its agent, by the SDK’s own client. */
function openEditor(server: TestServer, ...options: string[]): Editor {
  const child: ChildProcess = spawn(process.execPath, [MAIN, 'acp', ...options], {
    env: { ...programEnvironment(), CLOISTER_URL: server.url, CLOISTER_API_KEY: server.key },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  assert.ok(child.stdin !== null && child.stdout !== null);
  const stdout = Readable.toWeb(child.stdout) as unknown as ReadableStream<Uint8Array>;
  return editorOn(acp.ndJsonStream(Writable.toWeb(child.stdin), stdout), async () => {
    const exited = once(child, 'exit');
    child.stdin?.end();
    await exited;
  });
}

function editorOn(stream: acp.Stream, close: () => Promise<unknown>): Editor {
  const updates: Editor['updates'] = [];
  const questions: Editor['questions'] = [];
  const connection = acp
    .client()
    .onNotification('session/update', ({ params }) => void updates.push(params))
    .onRequest('session/request_permission', async ({ params, signal }) => {
      const { promise, resolve } = Promise.withResolvers<string | undefined>();
      questions.push({ request: params, answer: resolve, signal });
      const optionId = await promise;
      return { outcome: optionId === undefined ? { outcome: 'cancelled' } : { outcome: 'selected', optionId } };
    })
    .connect(stream);
  return {
    agent: connection.agent,
    updates,
    questions,
    said: () =>
      updates
        .flatMap(({ update }) =>
          update.sessionUpdate === 'agent_message_chunk' && update.content.type === 'text' ? update.content.text : [],
        )
        .join(''),
    [Symbol.asyncDispose]: async () => void (await close()),
  };
}

describe('cloister acp', { timeout: 180_000 }, () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ env: { PORT: String(await freePort()), MAX_TURN_ATTEMPTS: '3', RETRY_BASE_SECONDS: '0' } });
    const tools = [{ type: 'agent_toolset_20260401', default_config: { permission_policy: { type: 'always_ask' } } }];
    await server.json('POST', '/v1/agents', { body: { name: 'asks', model: 'demo', tools } });
  });
  after(() => server?.[Symbol.asyncDispose]());

  const initialize: acp.InitializeRequest = { protocolVersion: acp.PROTOCOL_VERSION };
  const open = async (editor: Editor): Promise<string> => {
    await editor.agent.request('initialize', initialize);
    return (await editor.agent.request('session/new', { cwd: '/home/me/project', mcpServers: [] })).sessionId;
  };
  const say = (editor: Editor, sessionId: string, text: string) =>
    editor.agent.request('session/prompt', { sessionId, prompt: [{ type: 'text', text }] });
  const callsOf = (editor: Editor): Wire[] =>
    editor.updates.flatMap(({ update }) => ('toolCallId' in update ? [[update.sessionUpdate, update.status]] : []));

  it('shakes hands, streams an answer, and goes on in the same conversation', async () => {
    await using editor = openEditor(server);
    const hello = await editor.agent.request('initialize', initialize);
    assert.deepEqual([hello.agentInfo?.name, hello.agentCapabilities?.loadSession], ['cloister', true]);
    const { sessionId } = await editor.agent.request('session/new', { cwd: '/', mcpServers: [] });
    assert.match(sessionId, /^ses_/);
    assert.equal((await say(editor, sessionId, '[[slow 4 30]]')).stopReason, 'end_turn');
    assert.match(editor.said(), /^piece0 piece1 piece2 piece3 /);
    assert.ok(editor.updates.length >= 3, 'it came in pieces');
    await say(editor, sessionId, 'again');
    assert.match(editor.said(), /echo: again \| turns=2$/);
    const listed = await editor.agent.request('session/list', {});
    assert.ok(listed.sessions.some((one) => one.sessionId === sessionId));
    await assert.rejects(say(editor, 'ses_0', 'x'), (error) => error instanceof acp.RequestError && error.code === -32002);
  });

  it('asks the editor before tools run, and heeds who answers first', async () => {
    await using editor = openEditor(server, '--agent', 'asks');
    const sessionId = await open(editor);
    const tool = '[[tool bash {"command":"ls -l"}]]';
    const ask = async (count: number) => waitFor(() => editor.questions[count - 1], { ...WAIT, what: `question ${count}` });
    const allowed = say(editor, sessionId, tool);
    const first = await ask(1);
    assert.deepEqual([first.request.toolCall.title, first.request.toolCall.kind], ['bash: ls -l', 'execute']);
    first.answer('allow');
    assert.equal((await allowed).stopReason, 'end_turn');
    assert.deepEqual(callsOf(editor), [
      ['tool_call', 'pending'],
      ['tool_call_update', 'completed'],
    ]);
    const denied = say(editor, sessionId, tool);
    (await ask(2)).answer('deny');
    await denied;
    assert.deepEqual(callsOf(editor).at(-1), ['tool_call_update', 'failed']);
    const elsewhere = say(editor, sessionId, tool);
    const third = await ask(3);
    await server.json('POST', `/v1/sessions/${sessionId}/events`, {
      body: { events: [{ type: 'user.tool_confirmation', tool_use_id: third.request.toolCall.toolCallId, result: 'allow' }] },
    });
    assert.equal((await elsewhere).stopReason, 'end_turn');
    assert.equal(third.signal.aborted, true, 'the question is taken back');
    third.answer(undefined);
  });

  it('cancels', async () => {
    await using editor = openEditor(server);
    const sessionId = await open(editor);
    const answer = say(editor, sessionId, '[[slow 2000 20]]');
    await waitFor(() => editor.said() !== '', { ...WAIT, what: 'the first words' });
    await editor.agent.notify('session/cancel', { sessionId });
    assert.equal((await answer).stopReason, 'cancelled');
    const failed = say(editor, sessionId, '[[fail]]');
    await assert.rejects(failed, (error) => error instanceof acp.RequestError && error.code === -32603);
  });

  it('leaves the turn to the server when the editor goes, and tells the next one all of it', async () => {
    let sessionId: string;
    {
      await using editor = openEditor(server, '--agent', 'asks');
      sessionId = await open(editor);
      await say(editor, sessionId, 'one');
      say(editor, sessionId, '[[tool bash {"command":"date"}]]').catch(() => undefined);
      await waitFor(() => editor.questions[0], { ...WAIT, what: 'the question' });
    }
    await using editor = openEditor(server);
    await editor.agent.request('initialize', initialize);
    await editor.agent.request('session/load', { sessionId, cwd: '/', mcpServers: [] });
    const kinds = editor.updates.map(({ update }) => update.sessionUpdate);
    assert.deepEqual(kinds, ['user_message_chunk', 'agent_message_chunk', 'user_message_chunk', 'tool_call']);
    (await waitFor(() => editor.questions[0], { ...WAIT, what: 'the question, asked again' })).answer('allow');
    await waitFor(() => callsOf(editor).at(-1)?.[1] === 'completed', { ...WAIT, what: 'the rest of the turn' });
  });

  it('goes on across a restart of the server', async () => {
    await using editor = openEditor(server);
    const sessionId = await open(editor);
    const answer = say(editor, sessionId, '[[slow 150 20]]');
    await waitFor(() => editor.said() !== '', { ...WAIT, what: 'the first words' });
    await server.restart();
    // The server says what became of the turn; either way the editor hears of it.
    const outcome = await answer.then(
      ({ stopReason }) => stopReason,
      (error: unknown) => error instanceof acp.RequestError && error.code,
    );
    assert.ok(outcome === 'end_turn' || outcome === -32603, String(outcome));
    await server.stop();
    const patient = say(editor, sessionId, 'still there?');
    await server.restart();
    assert.equal((await patient).stopReason, 'end_turn');
    assert.match(editor.said(), /echo: still there\?/);
    const sent = (await server.json('GET', `/v1/sessions/${sessionId}/events?types[]=user.message`)).body.data;
    assert.equal(sent.length, 2);
  });
});

describe('ACP over a WebSocket', { timeout: 120_000 }, () => {
  const openSocket = (server: TestServer, key: string, query = ''): Editor => {
    const headers = { authorization: `Bearer ${key}` };
    const stream = createWebSocketStream(`${server.url.replace('http', 'ws')}/acp${query}`, { headers, WebSocket });
    return editorOn(stream, () => stream.writable.close().catch(() => undefined));
  };
  const initialize: acp.InitializeRequest = { protocolVersion: acp.PROTOCOL_VERSION };

  it('is off unless ACP_HTTP says otherwise', async () => {
    await using server = await startTestServer();
    assert.equal((await server.json('GET', '/acp')).body.error.code, 'route_not_found');
  });

  it('serves an editor, and tells one that comes back what it has not seen', async () => {
    await using server = await startTestServer({ env: { ACP_HTTP: 'true' } });
    const stranger = openSocket(server, 'clst_nobody');
    await assert.rejects(stranger.agent.request('initialize', initialize));
    let sessionId: string;
    let seen: number;
    {
      await using editor = openSocket(server, server.key, '?agent=default');
      await editor.agent.request('initialize', initialize);
      ({ sessionId } = await editor.agent.request('session/new', { cwd: '/', mcpServers: [] }));
      await editor.agent.request('session/prompt', { sessionId, prompt: [{ type: 'text', text: 'one' }] });
      assert.match(editor.said(), /echo: one \| turns=1/);
      seen = Math.max(...editor.updates.map(({ _meta }) => (_meta?.cloister as { seq?: number } | undefined)?.seq ?? 0));
      editor.agent.request('session/prompt', { sessionId, prompt: [{ type: 'text', text: '[[slow 60 20]]' }] }).catch(() => undefined);
      await waitFor(() => editor.said().includes('piece0'), { ...WAIT, what: 'the first words' });
    }
    await using editor = openSocket(server, server.key);
    await editor.agent.request('initialize', initialize);
    await editor.agent.request('session/load', { sessionId, cwd: '/', mcpServers: [], _meta: { cloister: { after: seen } } });
    await waitFor(() => editor.said().includes('piece59'), { ...WAIT, what: 'the rest of the turn' });
    assert.ok(!editor.said().includes('echo: one'), 'what was seen does not come again');
    assert.equal(editor.said().split('piece0 ').length, 2);
  });
});
