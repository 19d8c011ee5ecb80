import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { programEnvironment } from '../../../../test/support/program-environment.ts';
import { message, OTHER_KEY, startTestServer, type TestServer, type Wire } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

interface Arrival {
  readonly headers: Record<string, string>;
  readonly body: string;
  readonly event: Wire;
}

interface Receiver extends AsyncDisposable {
  readonly url: string;
  readonly arrivals: Arrival[];
  /** What it does with each request; at first it answers 204. */
  answer: (response: ServerResponse, arrival: Arrival) => void;
  /** Waits for an arrival of that type. */
  waitFor(type: string): Promise<Arrival>;
}

async function startReceiver(port = 0): Promise<Receiver> {
  const arrivals: Arrival[] = [];
  const server = createServer((request, response) => void take(request, response)).listen(port, '127.0.0.1');
  await once(server, 'listening');
  const receiver: Receiver = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    arrivals,
    answer: (response) => void response.writeHead(204).end(),
    waitFor: (type) =>
      waitFor(() => arrivals.find(({ event }) => event.data.type === type), { timeoutMs: 10_000, what: `${type} to arrive` }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  async function take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += chunk;
    const arrival = { headers: request.headers as Record<string, string>, body, event: JSON.parse(body) };
    arrivals.push(arrival);
    receiver.answer(response, arrival);
  }
  return receiver;
}

const ENDED = 'cloister.turn.ended';

describe('webhooks', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ env: { WEBHOOK_ALLOW_PRIVATE_NETWORK: 'true' } });
  });
  after(() => server?.[Symbol.asyncDispose]());

  const create = async (url: string, events: unknown = '*'): Promise<Wire> => {
    const { status, body } = await server.json('POST', '/v1/webhooks', { body: { url, events } });
    assert.equal(status, 200, JSON.stringify(body));
    return body;
  };
  const get = async (id: string): Promise<Wire> => (await server.json('GET', `/v1/webhooks/${id}`)).body;
  const deliveries = async (id: string, query = ''): Promise<readonly Wire[]> =>
    (await server.json('GET', `/v1/webhooks/${id}/deliveries${query}`)).body.data;
  const remove = async (id: string) => assert.equal((await server.json('DELETE', `/v1/webhooks/${id}`)).status, 200);
  const turn = async (session: string): Promise<Wire> =>
    (await server.json('POST', `/v1/sessions/${session}/events?wait=10`, { body: { events: [message('hello')] } })).body.turn;
  const unwrap = ({ body, headers }: Arrival, key: string): Wire => server.client.beta.webhooks.unwrap(body, { headers, key });

  it('tell of a turn from its session to its end, signed, with ids and no content', async () => {
    await using receiver = await startReceiver();
    const webhook = await create(receiver.url);
    const session = await server.createSession();
    const { id: turnId } = await turn(session);
    await receiver.waitFor('session.status_idled');
    const ended = await receiver.waitFor(ENDED);
    const event = unwrap(ended, webhook.secret);
    const { data: log } = (await server.json('GET', `/v1/sessions/${session}/events?types[]=turn.ended`)).body;
    assert.deepEqual(event, {
      type: 'event',
      id: log[0].id,
      created_at: event.created_at,
      data: {
        type: ENDED,
        id: turnId,
        organization_id: event.data.organization_id,
        workspace_id: 'default',
        session_id: session,
        turn_id: turnId,
        seq: log[0].seq,
        outcome: 'completed',
        stop_reason: 'end_turn',
        error_code: null,
        event_id: log[0].event_id,
      },
    });
    assert.match(event.data.organization_id, /^ins_/);
    assert.equal(ended.headers['webhook-id'], event.id);
    assert.match(ended.headers['user-agent'] ?? '', /^Cloister\//);
    const types = new Set(receiver.arrivals.map((one) => one.event.data.type));
    assert.equal(receiver.arrivals.length, 4);
    assert.deepEqual(types, new Set([ENDED, 'session.created', 'session.status_idled', 'session.status_run_started']));
    const created = await receiver.waitFor('session.created');
    assert.equal(unwrap(created, webhook.secret).data.id, session);
    assert.ok(receiver.arrivals.every(({ body }) => !body.includes('hello')));
    await waitFor(async () => (await deliveries(webhook.id, '?state=sent')).length === 4, { timeoutMs: 5000, what: 'the deliveries' });
    await remove(webhook.id);
  });

  it('are a resource that can be listed, changed, stopped and deleted; the secret is shown once', async () => {
    const made = await create('https://example.com/hook', ['session.archived', 'session.archived']);
    assert.match(made.id, /^whk_/);
    assert.match(made.secret, /^whsec_[A-Za-z0-9+/]{43}=$/);
    assert.deepEqual([made.events, made.enabled, made.disabled_reason], [['session.archived'], true, null]);
    const { secret: _secret, ...shown } = made;
    assert.deepEqual(await get(made.id), shown);
    assert.deepEqual((await server.json('GET', '/v1/webhooks')).body.data, [shown]);
    const body = { url: 'https://example.org/', events: '*', description: 'mine', metadata: { a: 'b' }, enabled: false };
    const changed = (await server.json('POST', `/v1/webhooks/${made.id}`, { body })).body;
    assert.deepEqual({ ...changed, updated_at: '' }, { ...shown, ...body, disabled_reason: 'request', updated_at: '' });
    const retry = await server.json('POST', `/v1/webhooks/${made.id}/deliveries/dlv_0/retry`);
    assert.deepEqual([retry.status, retry.body.error.code], [409, 'webhook_disabled']);
    const enabled = (await server.json('POST', `/v1/webhooks/${made.id}`, { body: { enabled: true } })).body;
    assert.deepEqual([enabled.enabled, enabled.disabled_reason], [true, null]);
    await remove(made.id);
    assert.equal((await server.json('GET', `/v1/webhooks/${made.id}`)).body.error.code, 'webhook_not_found');
  });

  it('are refused when the URL or a type is none', async () => {
    const cases = [
      [{ url: 'ftp://example.com/', events: '*' }, '/url'],
      [{ url: 'https://user:secret@example.com/', events: '*' }, '/url'],
      [{ url: 'nowhere', events: '*' }, '/url'],
      [{ url: 'https://example.com/', events: [] }, '/events'],
      [{ url: 'https://example.com/', events: ['session.nonsense'] }, '/events/0'],
      [{ url: 'https://example.com/' }, '/events'],
      [{ url: 'https://example.com/', events: '*', secret: 'mine' }, '/secret'],
    ] as const;
    for (const [body, pointer] of cases) {
      const answer = await server.json('POST', '/v1/webhooks', { body });
      assert.deepEqual([answer.status, answer.body.error.errors[0].pointer], [400, pointer], JSON.stringify(answer.body));
    }
  });

  it('of another tenant are as missing', async () => {
    const { id } = await create('https://example.com/');
    const [delivery] = [(await server.json('POST', `/v1/webhooks/${id}/test`)).body.id];
    for (const [method, route, body] of [
      ['GET', `/v1/webhooks/${id}`],
      ['POST', `/v1/webhooks/${id}`, {}],
      ['DELETE', `/v1/webhooks/${id}`],
      ['POST', `/v1/webhooks/${id}/rotate_secret`],
      ['POST', `/v1/webhooks/${id}/test`],
      ['GET', `/v1/webhooks/${id}/deliveries`],
      ['POST', `/v1/webhooks/${id}/deliveries/${delivery}/retry`],
    ] as const) {
      const answer = await server.json(method, route, { key: OTHER_KEY, ...(body === undefined ? {} : { body }) });
      assert.deepEqual([answer.status, answer.body.error.code], [404, 'webhook_not_found'], `${method} ${route}`);
    }
    assert.deepEqual((await server.json('GET', '/v1/webhooks', { key: OTHER_KEY })).body.data, []);
    await remove(id);
  });

  it('are signed with both secrets after a rotation', async () => {
    await using receiver = await startReceiver();
    const made = await create(receiver.url);
    const { secret } = (await server.json('POST', `/v1/webhooks/${made.id}/rotate_secret`)).body;
    assert.notEqual(secret, made.secret);
    const { id } = (await server.json('POST', `/v1/webhooks/${made.id}/test`)).body;
    const arrival = await receiver.waitFor('webhook.test');
    for (const key of [secret, made.secret]) assert.equal(unwrap(arrival, key).data.id, made.id);
    await waitFor(async () => (await deliveries(made.id))[0]?.state === 'sent', { timeoutMs: 5000, what: 'the delivery to be settled' });
    assert.equal((await deliveries(made.id))[0].id, id);
    await remove(made.id);
  });

  it('come again until the receiver takes them, under the same id', async () => {
    const gone = await startReceiver();
    await gone[Symbol.asyncDispose]();
    const webhook = await create(gone.url, [ENDED]);
    await turn(await server.createSession());
    await waitFor(async () => (await deliveries(webhook.id))[0]?.last_error, { timeoutMs: 5000, what: 'the first attempt to fail' });
    const [waiting] = await deliveries(webhook.id);
    assert.equal(waiting.state, 'pending');
    assert.match(waiting.last_error, /ECONNREFUSED/);
    assert.ok(Date.parse(waiting.next_attempt_at) > Date.now());
    assert.notEqual((await get(webhook.id)).failing_since, null);
    await using receiver = await startReceiver(Number(new URL(gone.url).port));
    receiver.answer = (response) => {
      receiver.answer = (again) => void again.writeHead(204).end();
      response.writeHead(503).end();
    };
    // By the schedule the second attempt comes after 5 s; the third is asked for.
    const second = await receiver.waitFor(ENDED);
    await waitFor(async () => (await deliveries(webhook.id))[0].last_status === 503, { timeoutMs: 5000, what: 'the second failure' });
    const retried = (await server.json('POST', `/v1/webhooks/${webhook.id}/deliveries/${waiting.id}/retry`)).body;
    assert.equal(retried.id, waiting.id);
    await waitFor(() => receiver.arrivals.length === 2, { timeoutMs: 5000, what: 'the third attempt' });
    const third = receiver.arrivals[1];
    assert.equal(third?.headers['webhook-id'], second.headers['webhook-id']);
    assert.equal(third?.body, second.body);
    await waitFor(async () => (await deliveries(webhook.id))[0].state === 'sent', { timeoutMs: 5000, what: 'the delivery to be settled' });
    assert.equal((await get(webhook.id)).failing_since, null);
    await remove(webhook.id);
  });

  it('that are given up are reported into their session, and a receiver that is gone is disabled', async () => {
    await using receiver = await startReceiver();
    await using watcher = await startReceiver();
    receiver.answer = (response) => void response.writeHead(410).end();
    const broken = await create(receiver.url, [ENDED, 'cloister.delivery.failed']);
    const watching = await create(watcher.url, ['cloister.delivery.failed']);
    const session = await server.createSession();
    await turn(session);
    const told = unwrap(await watcher.waitFor('cloister.delivery.failed'), watching.secret);
    const [reported] = (await server.json('GET', `/v1/sessions/${session}/events?types[]=delivery.failed`)).body.data;
    assert.deepEqual(
      [reported.webhook_id, reported.event_type, reported.last_status, reported.attempts, reported.turn_id],
      [broken.id, ENDED, 410, 1, null],
    );
    assert.deepEqual([told.id, told.data.id, told.data.webhook_id], [reported.id, reported.delivery_id, broken.id]);
    const row = await get(broken.id);
    assert.deepEqual([row.enabled, row.disabled_reason], [false, 'gone']);
    await turn(session);
    assert.equal((await deliveries(broken.id)).length, 1);
    assert.equal((await deliveries(broken.id, '?state=failed')).length, 1);
    for (const { id } of [broken, watching]) await remove(id);
  });

  it('survive a restart of the server in the middle of an attempt', async () => {
    await using receiver = await startReceiver();
    receiver.answer = () => undefined;
    const webhook = await create(receiver.url, [ENDED]);
    await turn(await server.createSession());
    const first = await receiver.waitFor(ENDED);
    receiver.answer = (response) => void response.writeHead(204).end();
    await server.restart();
    await waitFor(() => receiver.arrivals.length === 2, { timeoutMs: 10_000, what: 'the second attempt' });
    assert.equal(receiver.arrivals[1]?.headers['webhook-id'], first.headers['webhook-id']);
    assert.equal(unwrap(receiver.arrivals[1] ?? first, webhook.secret).data.type, ENDED);
    await waitFor(async () => (await deliveries(webhook.id))[0].state === 'sent', { timeoutMs: 5000, what: 'the delivery to be settled' });
    await remove(webhook.id);
  });

  it('show in the metrics', async () => {
    const webhook = await create('http://127.0.0.1:1/', ['session.created']);
    await server.createSession();
    await waitFor(async () => (await deliveries(webhook.id))[0]?.last_error, { timeoutMs: 5000, what: 'an attempt' });
    const text = await (await server.request('GET', '/metrics')).text();
    assert.match(text, /^cloister_deliveries\{state="pending"\} 1$/m);
    assert.match(text, /^cloister_delivery_attempts_total\{outcome="refused"\} [1-9]/m);
    await remove(webhook.id);
  });

  it('can be had from the command line', async () => {
    await using receiver = await startReceiver();
    const main = path.resolve(import.meta.dirname, '../../src/cli/main.ts');
    const env = { ...programEnvironment(), CLOISTER_URL: server.url, CLOISTER_API_KEY: server.key };
    const cloister = (...args: string[]) => promisify(execFile)(process.execPath, [main, 'webhooks', ...args], { env, timeout: 30_000 });
    const made = await cloister('create', receiver.url, '--events', 'session.created, session.archived');
    const id = /webhook (whk_\w+)/.exec(made.stderr)?.[1] ?? assert.fail(made.stderr);
    const secret = made.stdout.trim();
    assert.match((await cloister('list')).stdout, new RegExp(`${id} +enabled +session.created, session.archived +http`));
    assert.match((await cloister('test', id)).stdout, /^dlv_\w+ is on its way/);
    assert.equal(unwrap(await receiver.waitFor('webhook.test'), secret).data.id, id);
    await cloister('delete', id);
    assert.deepEqual(JSON.parse((await cloister('list', '--json')).stdout), []);
    await assert.rejects(cloister('create', receiver.url, '--events', 'nonsense'), { code: 7 });
  });
});

describe('webhooks without leave for the private network', () => {
  it('do not reach a receiver on this host, and say why', async () => {
    await using server = await startTestServer();
    await using receiver = await startReceiver();
    const { id } = (await server.json('POST', '/v1/webhooks', { body: { url: receiver.url, events: '*' } })).body;
    await server.json('POST', `/v1/webhooks/${id}/test`);
    const find = async (): Promise<Wire> => (await server.json('GET', `/v1/webhooks/${id}/deliveries`)).body.data[0];
    await waitFor(async () => (await find()).last_error, { timeoutMs: 5000, what: 'an attempt' });
    assert.match((await find()).last_error, /private, local or reserved.*WEBHOOK_ALLOW_PRIVATE_NETWORK/);
    assert.equal(receiver.arrivals.length, 0);
  });
});
