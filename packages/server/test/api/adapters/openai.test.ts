import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { OTHER_KEY, startTestServer, type TestServer, type Wire } from '../../support/server.ts';
import { waitFor } from '../../support/wait-for.ts';

const WAIT = { timeoutMs: 20_000 };

describe("OpenAI's API, by its official SDK", { timeout: 120_000 }, () => {
  let server: TestServer;
  let openai: OpenAI;
  let agentId: string;
  before(async () => {
    server = await startTestServer({ env: { MAX_TURN_ATTEMPTS: '1' } });
    openai = clientOf(server.key);
    agentId = (await server.json('POST', '/v1/agents', { body: { name: 'ada', model: 'demo', system: 'Be brief.' } })).body.id;
  });
  after(() => server?.[Symbol.asyncDispose]());

  const clientOf = (apiKey: string) => new OpenAI({ apiKey, baseURL: `${server.url}/v1`, maxRetries: 0, timeout: 30_000 });
  const user = (content: string) => ({ role: 'user' as const, content });
  const assistant = (content: string) => ({ role: 'assistant' as const, content });
  const chat = (messages: OpenAI.ChatCompletionMessageParam[], more: object = {}) =>
    openai.chat.completions.create({ model: agentId, messages, ...more, stream: false }).withResponse();
  const sessionOf = (response: Response) => response.headers.get('cloister-session') ?? '';
  const turnsOf = async (session: string): Promise<Wire[]> =>
    (await server.json('GET', `/v1/sessions/${session}/turns?order=asc`)).body.data;
  const said = async (session: string): Promise<Wire[]> =>
    (await server.json('GET', `/v1/sessions/${session}/events?types[]=user.message`)).body.data.map((event: Wire) => event.content);
  const fails = (promise: Promise<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> =>
    promise.then(
      () => assert.fail('it went well'),
      (error: unknown) => {
        assert.ok(error instanceof OpenAI.APIError, String(error));
        return error;
      },
    );

  it('lists agents as models, by id and by name, to both SDKs', async () => {
    const listed = (await openai.models.list()).data;
    assert.deepEqual(
      listed.filter((model) => (model as Wire).root === agentId).map(({ id, object }) => [id, object]),
      [
        [agentId, 'model'],
        ['ada', 'model'],
      ],
    );
    assert.equal((await openai.models.retrieve('ada')).id, 'ada');
    const anthropic = new Anthropic({ apiKey: server.key, baseURL: server.url, maxRetries: 0 });
    const model = (await anthropic.models.list()).data.find(({ id }) => id === agentId);
    assert.deepEqual([model?.type, model?.display_name], ['model', 'ada']);
    const missing = await fails(openai.models.retrieve('nobody'));
    assert.deepEqual([missing.status, missing.code], [404, 'model_not_found']);
  });

  it('answers, and goes on with the session that said the history', async () => {
    const first = await chat([{ role: 'system', content: 'Speak of tea.' }, user('one')], { temperature: 0.5 });
    const { choices, object, usage, id } = first.data;
    assert.deepEqual([object, choices[0]?.finish_reason, choices[0]?.message.content], ['chat.completion', 'stop', 'echo: one | turns=1']);
    assert.match(id, /^chatcmpl-[0-9a-f]{32}$/);
    assert.equal(usage?.total_tokens, 0, 'the fake agent calls no model');
    assert.equal(first.response.headers.get('cloister-without-effect'), 'temperature');
    const session = sessionOf(first.response);
    assert.equal((await server.json('GET', `/v1/sessions/${session}`)).body.agent.system, 'Be brief.\n\nSpeak of tea.');
    const history = [{ role: 'system' as const, content: 'Speak of tea.' }, user('one'), assistant('echo: one | turns=1')];
    const second = await chat([...history, user('two')]);
    assert.equal(sessionOf(second.response), session);
    assert.equal(second.data.choices[0]?.message.content, 'echo: two | turns=2');
    assert.deepEqual((await said(session)).at(-1), [{ type: 'text', text: 'two' }]);
    // The same history once more is another branch: a session does not go back.
    const branch = await chat([...history, user('other')]);
    assert.notEqual(sessionOf(branch.response), session);
    const [[told, fresh]] = await said(sessionOf(branch.response));
    assert.match(told.text, /<user>\none\n<\/user>\n<assistant>\necho: one \| turns=1\n<\/assistant>/);
    assert.equal(fresh.text, 'other');
    assert.equal((await turnsOf(session)).length, 2);
  });

  it('has one session for a user of an agent, and for a name in the metadata', async () => {
    const [one, two] = [await chat([user('a')], { user: 'u-1' }), await chat([user('a'), assistant('x'), user('b')], { user: 'u-1' })];
    assert.equal(sessionOf(one.response), sessionOf(two.response));
    assert.deepEqual((await said(sessionOf(two.response))).at(-1), [{ type: 'text', text: 'b' }]);
    assert.notEqual(sessionOf((await chat([user('a')], { user: 'u-2' })).response), sessionOf(one.response));
    const named = { metadata: { session_id: 'ticket-7' } };
    const [three, four] = await Promise.all([chat([user('a')], named), chat([user('b')], named)]);
    assert.equal(sessionOf(three.response), sessionOf(four.response));
    const own = await chat([user('c')], { metadata: { session_id: sessionOf(one.response) } });
    assert.equal(sessionOf(own.response), sessionOf(one.response));
    const elsewhere = await fails(
      clientOf(OTHER_KEY).chat.completions.create({
        model: 'default',
        messages: [user('a')],
        metadata: { session_id: sessionOf(one.response) },
      }),
    );
    assert.equal(elsewhere.status, 404);
    // A session that is closed does not keep the name.
    await server.json('POST', `/v1/sessions/${sessionOf(three.response)}/archive`);
    assert.notEqual(sessionOf((await chat([user('a')], named)).response), sessionOf(three.response));
  });

  it('streams chunks as they are written, and usage when asked', async () => {
    const stream = await openai.chat.completions.create({
      model: 'ada',
      messages: [user('[[slow 3 20]]')],
      stream: true,
      stream_options: { include_usage: true },
    });
    const pieces: string[] = [];
    let finish: string | null = null;
    let usage: unknown;
    for await (const chunk of stream) {
      const [choice] = chunk.choices;
      if (choice?.delta.content) pieces.push(choice.delta.content);
      finish = choice?.finish_reason ?? finish;
      usage = chunk.usage ?? usage;
    }
    assert.match(pieces.join(''), /^piece0 piece1 piece2 /);
    assert.ok(pieces.length >= 2, pieces.join('|'));
    assert.deepEqual(
      [finish, usage],
      ['stop', { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0, prompt_tokens_details: { cached_tokens: 0 } }],
    );
  });

  it('interrupts the turn of a client that goes away', async () => {
    const stream = await openai.chat.completions
      .create({ model: 'ada', messages: [user('[[slow 2000 20]]')], stream: true })
      .withResponse();
    for await (const chunk of stream.data) if (chunk.choices[0]?.delta.content) break;
    await waitFor(async () => (await turnsOf(sessionOf(stream.response)))[0]?.state === 'cancelled', { ...WAIT, what: 'the interrupt' });
    const abort = new AbortController();
    const waiting = openai.chat.completions.create(
      { model: 'ada', messages: [user('[[hang]]')], metadata: { session_id: 'hanging' } },
      { signal: abort.signal },
    );
    const hanging = async (): Promise<Wire> => (await server.json('GET', '/v1/turns?limit=1')).body.data[0];
    await waitFor(async () => (await hanging()).state === 'running', { ...WAIT, what: 'the turn' });
    abort.abort();
    await assert.rejects(waiting);
    await waitFor(async () => (await hanging()).state === 'cancelled', { ...WAIT, what: 'the second interrupt' });
  });

  it('tells what went wrong in the shape of OpenAI', async () => {
    const refused = async (params: object, status: number, code: string, param: string | null) => {
      const error = await fails(openai.chat.completions.create({ model: agentId, messages: [user('x')], ...params }));
      assert.deepEqual([error.status, error.code, error.param], [status, code, param], error.message);
      assert.match(error.requestID ?? '', /^req_/);
    };
    await refused({ model: 'gpt-5' }, 404, 'model_not_found', 'model');
    await refused({ messages: [] }, 400, 'request_invalid', 'messages');
    await refused({ messages: [assistant('x')] }, 400, 'request_invalid', 'messages');
    await refused({ tools: [{ type: 'function', function: { name: 'f' } }] }, 400, 'unsupported_parameter', 'tools');
    await refused({ n: 2 }, 400, 'unsupported_parameter', 'n');
    await refused({ response_format: { type: 'json_object' } }, 400, 'unsupported_parameter', 'response_format');
    await refused(
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://example.com/a.png' } }] }] },
      400,
      'unsupported_parameter',
      'messages[0].content[0]',
    );
    await refused({ metadata: { environment_id: 'env_0' } }, 404, 'environment_not_found', null);
    const stranger = await fails(clientOf('clst_nobody').models.list());
    assert.deepEqual([stranger.status, stranger.code], [401, 'invalid_api_key']);
    const failed = await fails(openai.chat.completions.create({ model: agentId, messages: [user('[[late exit]]')] }));
    assert.ok((failed.status ?? 0) >= 500, String(failed.status));
    const stream = await openai.chat.completions.create({ model: agentId, messages: [user('[[late exit]]')], stream: true });
    const midway = await fails(
      (async () => {
        for await (const _chunk of stream);
      })(),
    );
    assert.match(midway.message, /sandbox|exited|agent/i);
  });

  it('does the same request with the same Idempotency-Key once', async () => {
    const once = { headers: { 'Idempotency-Key': 'chat-1' } };
    const body = { model: agentId, messages: [user('once')] };
    const first = await openai.chat.completions.create(body, once).withResponse();
    const again = await openai.chat.completions.create(body, once).withResponse();
    assert.deepEqual([again.data.id, sessionOf(again.response)], [first.data.id, sessionOf(first.response)]);
    assert.equal((await turnsOf(sessionOf(first.response))).length, 1);
    const other = await fails(openai.chat.completions.create({ ...body, messages: [user('twice')] }, once));
    assert.equal(other.code, 'idempotency_mismatch');
  });

  it('answers responses, one after the other, and by conversation', async () => {
    const first = await openai.responses.create({ model: 'ada', input: 'one', instructions: 'Short.' });
    assert.deepEqual([first.status, first.output_text], ['completed', 'echo: one | turns=1']);
    const second = await openai.responses.create({ model: 'ada', input: 'two', instructions: 'Short.', previous_response_id: first.id });
    assert.deepEqual([second.output_text, second.previous_response_id], ['echo: two | turns=2', first.id]);
    const session = `ses_${second.conversation?.id.slice('conv_'.length)}`;
    assert.deepEqual((await said(session)).at(-1), [{ type: 'text', text: 'two' }]);
    const back = await fails(openai.responses.create({ model: 'ada', input: 'x', previous_response_id: first.id }));
    assert.deepEqual([back.status, back.param], [400, 'previous_response_id']);
    const third = await openai.responses.create({
      model: 'ada',
      instructions: 'Long.',
      conversation: second.conversation?.id ?? '',
      input: [{ role: 'user', content: [{ type: 'input_text', text: 'three' }] }],
    });
    assert.equal(third.output_text, 'echo: three | turns=3');
    assert.match((await said(session)).at(-1)[0].text, /Long\./);
    const got = await openai.responses.retrieve(third.id);
    assert.deepEqual([got.status, got.output_text], ['completed', 'echo: three | turns=3']);
    const missing = await fails(openai.responses.retrieve('resp_0'));
    assert.equal(missing.status, 404);
    const foreign = await fails(clientOf(OTHER_KEY).responses.retrieve(third.id));
    assert.deepEqual([foreign.status, foreign.message.replace(third.id, '')], [404, missing.message.replace('resp_0', '')]);
    const failed = await openai.responses.create({ model: 'ada', input: '[[late exit]]' });
    assert.deepEqual([failed.status, failed.error?.code], ['failed', 'sandbox_exited']);
  });

  it('streams responses, and lets those in the background go on', async () => {
    const stream = openai.responses.stream({ model: 'ada', input: '[[slow 3 20]]' });
    const types: string[] = [];
    for await (const event of stream) types.push(event.type);
    const whole = await stream.finalResponse();
    assert.match(whole.output_text, /^piece0 piece1 piece2 /);
    assert.deepEqual(
      [...new Set(types)],
      [
        'response.created',
        'response.in_progress',
        'response.output_item.added',
        'response.content_part.added',
        'response.output_text.delta',
        'response.output_text.done',
        'response.content_part.done',
        'response.output_item.done',
        'response.completed',
      ],
    );
    const begun = await openai.responses.create({ model: 'ada', input: '[[slow 500 20]]', background: true });
    assert.equal(begun.status, 'queued');
    await waitFor(async () => (await openai.responses.retrieve(begun.id)).status === 'in_progress', { ...WAIT, what: 'the start' });
    await openai.responses.cancel(begun.id);
    await waitFor(async () => (await openai.responses.retrieve(begun.id)).status === 'cancelled', { ...WAIT, what: 'the end' });
  });
});

describe('ADAPTERS', () => {
  it('switches an API off, and with it nothing else', async () => {
    await using server = await startTestServer({ env: { ADAPTERS: 'none' } });
    const { status, body } = await server.json('GET', '/v1/models');
    assert.deepEqual([status, body.error.code], [404, 'route_not_found']);
    assert.equal((await server.request('GET', '/v1/agents')).status, 200);
  });
});
