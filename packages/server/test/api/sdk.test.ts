import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { message, startTestServer, type TestServer } from '../support/server.ts';

/** The ids of all pages of a listing, page by page as the SDK turns them. */
async function idsOf(pages: AsyncIterable<{ readonly id: string }>): Promise<string[]> {
  const ids: string[] = [];
  for await (const one of pages) ids.push(one.id);
  return ids;
}

describe('the official SDK', () => {
  let server: TestServer;
  let client: Anthropic;
  let environmentId: string;

  before(async () => {
    server = await startTestServer();
    client = server.client;
    environmentId = (await client.beta.environments.create({ name: 'sdk', config: { type: 'cloud' } })).id;
  });
  after(() => server?.[Symbol.asyncDispose]());

  const newAgent = (name = 'tester') => client.beta.agents.create({ name, model: 'demo', system: 'Be brief.' });
  const newSession = async (title?: string) =>
    client.beta.sessions.create({ agent: (await newAgent()).id, environment_id: environmentId, ...(title === undefined ? {} : { title }) });
  const runTurn = (sessionId: string, text: string) =>
    client.beta.sessions.events.send(sessionId, { events: [message(text)] }, { query: { wait: 10 } });

  describe('agents', () => {
    it('creates, retrieves and resolves what was left out', async () => {
      const created = await client.beta.agents.create({ name: 'a', model: { id: 'demo', effort: 'low' }, metadata: { team: 'x' } });
      assert.equal(created.type, 'agent');
      assert.equal(created.version, 1);
      assert.equal(created.model.id, 'demo');
      assert.deepEqual(created.model.effort, { type: 'low' });
      assert.equal(created.system, null);
      assert.equal(created.tools[0]?.type, 'agent_toolset_20260401');
      assert.deepEqual([created.mcp_servers, created.skills, created.archived_at], [[], [], null]);
      assert.deepEqual(await client.beta.agents.retrieve(created.id), created);
    });

    it('makes a version of each change and keeps the old ones', async () => {
      const agent = await newAgent('first');
      const changed = await client.beta.agents.update(agent.id, { version: 1, name: 'second', system: null, metadata: { a: '1' } });
      assert.deepEqual([changed.version, changed.name, changed.system, changed.metadata], [2, 'second', null, { a: '1' }]);
      const same = await client.beta.agents.update(agent.id, { version: 2, name: 'second' });
      assert.equal(same.version, 2);
      assert.equal((await client.beta.agents.retrieve(agent.id, { version: 1 })).name, 'first');
      const versions = [];
      for await (const one of client.beta.agents.versions.list(agent.id, { limit: 1 })) versions.push(one.version);
      assert.deepEqual(versions, [2, 1]);
      await assert.rejects(client.beta.agents.update(agent.id, { version: 1, name: 'late' }), Anthropic.ConflictError);
    });

    it('pages a list, and leaves the archived out unless asked', async () => {
      const made = [await newAgent(), await newAgent(), await newAgent()].map((agent) => agent.id);
      const archived = await client.beta.agents.archive(made[1] ?? '');
      assert.match(archived.archived_at ?? '', /^\d{4}-/);
      const listed = await idsOf(client.beta.agents.list({ limit: 1 }));
      assert.deepEqual(
        listed.filter((id) => made.includes(id)),
        [made[2], made[0]],
      );
      const all = await idsOf(client.beta.agents.list({ limit: 2, include_archived: true }));
      assert.deepEqual(
        all.filter((id) => made.includes(id)),
        made.toReversed(),
      );
      await assert.rejects(client.beta.agents.update(made[1] ?? '', { version: 1, name: 'x' }), Anthropic.ConflictError);
    });

    it('filters a list by time of creation', async () => {
      const agent = await newAgent();
      assert.deepEqual(await idsOf(client.beta.agents.list({ 'created_at[gte]': agent.created_at, 'created_at[lte]': agent.created_at })), [
        agent.id,
      ]);
      assert.deepEqual(await idsOf(client.beta.agents.list({ 'created_at[gte]': '2999-01-01T00:00:00Z' })), []);
    });
  });

  describe('environments', () => {
    it('go from create to delete', async () => {
      const created = await client.beta.environments.create({
        name: 'limited',
        description: 'one host',
        config: { type: 'cloud', networking: { type: 'limited', allowed_hosts: ['example.org'] } },
      });
      assert.equal(created.type, 'environment');
      assert.equal(created.config.type, 'cloud');
      assert.deepEqual(await client.beta.environments.retrieve(created.id), created);
      const updated = await client.beta.environments.update(created.id, { name: 'renamed', metadata: { a: 'b' } });
      assert.deepEqual([updated.name, updated.description, updated.config], ['renamed', 'one host', created.config]);
      assert.ok((await idsOf(client.beta.environments.list({ limit: 1 }))).includes(created.id));
      const networking = { type: 'limited', allow_mcp_servers: true } as const;
      const open = await client.beta.environments.update(created.id, { config: { type: 'cloud', networking } });
      assert.ok(open.config.type === 'cloud' && open.config.networking.type === 'limited');
      assert.equal(open.config.networking.allow_mcp_servers, true);
      assert.match((await client.beta.environments.archive(created.id)).archived_at ?? '', /^\d{4}-/);
      assert.ok(!(await idsOf(client.beta.environments.list())).includes(created.id));
      assert.ok((await idsOf(client.beta.environments.list({ include_archived: true }))).includes(created.id));
      await assert.rejects(client.beta.environments.update(created.id, { name: 'x' }), Anthropic.ConflictError);
      assert.deepEqual(await client.beta.environments.delete(created.id), { id: created.id, type: 'environment_deleted' });
      await assert.rejects(client.beta.environments.retrieve(created.id), Anthropic.NotFoundError);
    });
  });

  describe('sessions', () => {
    it('are made of an agent by id, by version, or with overrides', async () => {
      const agent = await newAgent('v1');
      await client.beta.agents.update(agent.id, { version: 1, name: 'v2' });
      const make = (param: Anthropic.Beta.SessionCreateParams['agent']) =>
        client.beta.sessions.create({ agent: param, environment_id: environmentId });
      const newest = await make(agent.id);
      assert.deepEqual([newest.status, newest.agent.version, newest.agent.name], ['idle', 2, 'v2']);
      const older = await make({ type: 'agent', id: agent.id, version: 1 });
      assert.deepEqual([older.agent.version, older.agent.name], [1, 'v1']);
      const other = await make({ type: 'agent_with_overrides', id: agent.id, system: 'Be long.', tools: [] });
      assert.deepEqual([other.agent.system, other.agent.tools, other.agent.version], ['Be long.', [], 2]);
    });

    it('are retrieved, updated, archived and deleted', async () => {
      const session = await newSession('one');
      assert.deepEqual({ ...(await client.beta.sessions.retrieve(session.id)), stats: null }, { ...session, stats: null });
      const updated = await client.beta.sessions.update(session.id, { title: 'two', metadata: { k: 'v' } });
      assert.deepEqual([updated.title, updated.metadata], ['two', { k: 'v' }]);
      assert.deepEqual((await client.beta.sessions.update(session.id, { metadata: { k: null } })).metadata, {});
      const asking = await client.beta.sessions.update(session.id, {
        agent: { tools: [{ type: 'agent_toolset_20260401', default_config: { permission_policy: { type: 'always_ask' } } }] },
      });
      const toolset = asking.agent.tools[0];
      assert.ok(toolset?.type === 'agent_toolset_20260401');
      assert.equal(toolset.default_config.permission_policy.type, 'always_ask');
      assert.match((await client.beta.sessions.archive(session.id)).archived_at ?? '', /^\d{4}-/);
      await assert.rejects(client.beta.sessions.events.send(session.id, { events: [message()] }), Anthropic.ConflictError);
      assert.deepEqual(await client.beta.sessions.delete(session.id), { id: session.id, type: 'session_deleted' });
      await assert.rejects(client.beta.sessions.retrieve(session.id), Anthropic.NotFoundError);
    });

    it('start with initial events', async () => {
      const session = await client.beta.sessions.create({
        agent: (await newAgent()).id,
        environment_id: environmentId,
        initial_events: [message('first words')],
      });
      const stream = await client.beta.sessions.events.stream(session.id, undefined, { query: { after: 0 } });
      const types: string[] = [];
      for await (const event of stream) {
        types.push(event.type);
        if (event.type === 'session.status_idle') break;
      }
      assert.deepEqual([types[0], types.at(-1)], ['user.message', 'session.status_idle']);
    });

    it('are listed by agent, status and order, forwards and back', async () => {
      const agent = await newAgent();
      const made: string[] = [];
      for (let i = 0; i < 5; i++) {
        made.push((await client.beta.sessions.create({ agent: agent.id, environment_id: environmentId, title: `s${i}` })).id);
      }
      assert.deepEqual(await idsOf(client.beta.sessions.list({ agent_id: agent.id, limit: 2 })), made.toReversed());
      assert.deepEqual(await idsOf(client.beta.sessions.list({ agent_id: agent.id, limit: 2, order: 'asc' })), made);
      assert.deepEqual(await idsOf(client.beta.sessions.list({ agent_id: agent.id, statuses: ['running', 'terminated'] })), []);
      assert.deepEqual(await idsOf(client.beta.sessions.list({ agent_id: agent.id, statuses: ['idle'] })), made.toReversed());
      assert.deepEqual(await idsOf(client.beta.sessions.list({ agent_id: agent.id, agent_version: 2 })), []);

      const query = { agent_id: agent.id, limit: 2, order: 'asc' } as const;
      const first = await client.beta.sessions.list(query);
      const second = await first.getNextPage();
      assert.deepEqual(
        second.data.map(({ id }) => id),
        made.slice(2, 4),
      );
      assert.equal(first.prev_page, null);
      const back = await client.beta.sessions.list({ ...query, page: second.prev_page ?? '' });
      assert.deepEqual(
        back.data.map(({ id }) => id),
        made.slice(0, 2),
      );
    });
  });

  describe('events', () => {
    it('are listed by page, order and type', async () => {
      const session = await newSession();
      await runTurn(session.id, 'one');
      await runTurn(session.id, 'two');
      const all = [];
      for await (const event of client.beta.sessions.events.list(session.id, { limit: 2 })) all.push(event);
      assert.equal(all[0]?.type, 'user.message');
      assert.equal(all.at(-1)?.type, 'session.status_idle');
      assert.equal(new Set(all.map(({ id }) => id)).size, all.length);
      assert.deepEqual(
        await idsOf(client.beta.sessions.events.list(session.id, { limit: 3, order: 'desc' })),
        all.map(({ id }) => id).toReversed(),
      );
      const said = [];
      for await (const event of client.beta.sessions.events.list(session.id, { types: ['agent.message', 'user.message'] }))
        said.push(event.type === 'agent.message' || event.type === 'user.message' ? event.content[0] : event.type);
      assert.deepEqual(said, [
        { type: 'text', text: 'one' },
        { type: 'text', text: 'echo: one | turns=1' },
        { type: 'text', text: 'two' },
        { type: 'text', text: 'echo: two | turns=2' },
      ]);
    });

    it('stream with previews, each followed by its event under the same id', async () => {
      const session = await newSession();
      const stream = await client.beta.sessions.events.stream(session.id, { event_deltas: ['agent.message'] });
      await client.beta.sessions.events.send(session.id, { events: [message('[[slow 4 30]]')] });
      let text = '';
      let previewId: string | undefined;
      const order: string[] = [];
      for await (const event of stream) {
        order.push(event.type);
        if (event.type === 'event_start') previewId = event.event.id;
        if (event.type === 'event_delta') {
          assert.equal(event.event_id, previewId);
          text += event.delta.content.text;
        }
        if (event.type === 'agent.message') {
          assert.equal(event.id, previewId);
          assert.deepEqual(event.content, [{ type: 'text', text }]);
        }
        if (event.type === 'session.status_idle') break;
      }
      assert.equal(text, 'piece0 piece1 piece2 piece3 ');
      assert.ok(order.indexOf('event_delta') < order.indexOf('agent.message'), order.join(' '));
    });
  });

  describe('errors', () => {
    const cases: readonly [string, () => Promise<unknown>, abstract new (...args: never[]) => Error, string][] = [
      ['a missing session', () => client.beta.sessions.retrieve('ses_none'), Anthropic.NotFoundError, 'not_found_error'],
      [
        'a wrong key',
        () => client.withOptions({ apiKey: 'clst_wrong' }).beta.agents.retrieve('agt_x'),
        Anthropic.AuthenticationError,
        'authentication_error',
      ],
      [
        'a field of the wrong form',
        () => client.beta.agents.create({ name: '', model: 'demo' }),
        Anthropic.BadRequestError,
        'invalid_request_error',
      ],
      [
        'a model nobody serves',
        () => client.beta.agents.create({ name: 'x', model: 'no-such-model' }),
        Anthropic.UnprocessableEntityError,
        'invalid_request_error',
      ],
      [
        'a refused network',
        () => client.beta.environments.create({ name: 'x', config: { type: 'cloud', networking: { type: 'unrestricted' } } }),
        Anthropic.PermissionDeniedError,
        'permission_error',
      ],
    ];
    for (const [what, call, kind, type] of cases)
      it(`reads ${what}`, async () => {
        await assert.rejects(call, (error: unknown) => {
          assert.ok(error instanceof kind && error instanceof Anthropic.APIError, String(error));
          assert.equal(error.type, type);
          assert.match(error.requestID ?? '', /^req_/);
          return true;
        });
      });
  });
});
