import assert from 'node:assert/strict';
import { appendFile } from 'node:fs/promises';
import type { Wire } from '../support/server.ts';
import { ADMIN_KEY } from '../support/server-process.ts';

/** What a page needs to be there before its first command. */
export interface Given {
  /** Its ids are what the page's placeholders stand for until a command prints others. */
  readonly printed?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface Page {
  /** `docker` where sandboxes show in what the page prints; else a runtime that needs no engine. */
  readonly runtime?: 'docker';
  readonly files?: Readonly<Record<string, string>>;
  readonly given?: (api: Api) => Promise<Given>;
  /** Done before commands that match, for what time has to bring about. */
  readonly before?: { readonly command: RegExp; readonly given: (api: Api) => Promise<Given> };
}

export interface Api {
  readonly url: string;
  /** Of the server on the fake runtime. */
  readonly logFile: string;
  send(method: string, route: string, body?: unknown): Promise<Wire>;
}

export function apiOf(url: string, logFile: string): Api {
  return {
    url,
    logFile,
    async send(method, route, body) {
      const headers = { 'x-api-key': ADMIN_KEY, 'content-type': 'application/json' };
      const response = await fetch(`${url}${route}`, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
      const text = await response.text();
      assert.ok(response.ok, `${method} ${route}: ${response.status} ${text}`);
      return text === '' ? undefined : JSON.parse(text);
    },
  };
}

const SKILL = '---\nname: weekly-report\ndescription: How we write weekly reports.\n---\n\nBegin with the numbers.\n';
/** Of both servers. */
export const METRICS_TOKEN = 'prometheus-reads-4f2a91';
const PASSWORD = 'correct horse battery staple';

async function agentAndSession(api: Api, agent: object = {}): Promise<{ readonly agent: string; readonly session: string }> {
  const made = await api.send('POST', '/v1/agents', { name: 'Helper', model: 'demo', ...agent });
  const environment = (await api.send('GET', '/v1/environments?limit=100')).data.find(({ name }: Wire) => name === 'default');
  const session = await api.send('POST', '/v1/sessions', { agent: made.id, environment_id: environment.id });
  return { agent: made.id, session: session.id };
}

/** A session in which this was said, and the turn has ended or asks. */
async function afterMessage(api: Api, content: string, agent: object = {}): Promise<{ readonly session: string; readonly answer: Wire }> {
  const { session } = await agentAndSession(api, agent);
  const answer = await api.send('POST', `/v1/sessions/${session}/events?wait=60`, { events: [{ type: 'user.message', content }] });
  return { session, answer };
}

const aSession = async (api: Api): Promise<Given> => {
  const { agent, session } = await agentAndSession(api);
  return { printed: `${agent} ${session}`, env: { SESSION: session } };
};

const aQuestion = async (api: Api): Promise<Given> => {
  const asking = { permission_rules: [{ tool: 'bash', policy: 'ask' }] };
  await afterMessage(api, '[[tool bash {"command":"git push"}]]', asking);
  return {};
};

export const PAGES: Readonly<Record<string, Page>> = {
  'README.md': { runtime: 'docker' },
  'docs/getting-started.md': { runtime: 'docker' },
  'docs/approvals.md': {
    given: aQuestion,
    before: { command: /^cloister approvals$/, given: aQuestion },
  },
  'docs/audit.md': { given: async (api) => ({ printed: `${(await aSession(api)).printed} usr_01a1fd40a7fe7a5892d68d3428a3c197` }) },
  'docs/container.md': { files: { '.env.example': '' } },
  'docs/files.md': { files: { 'report.pdf': '%PDF-1.4\n' } },
  'docs/mcp-and-skills.md': { files: { 'weekly-report/SKILL.md': SKILL } },
  'docs/migrate-from-claude-agent-http.md': {},
  'docs/migrate-from-clawft.md': {
    files: {
      '.clawft/skills/weekly-report/SKILL.md': SKILL.replace('weekly-report', 'weekly-report-of-weft'),
      '.clawft/workspace/notes.txt': 'hello\n',
    },
    given: aSession,
  },
  'docs/migrate-from-clawhq.md': { given: async () => ({ env: { CLOISTER_API_KEY: ADMIN_KEY } }) },
  'docs/migrate-from-nanoclaw.md': {
    files: { 'nanoclaw/groups/family/CLAUDE.md': 'You are the assistant of a family.\n' },
    given: async () => ({ env: { UPDATE_ID: '7' } }),
  },
  'docs/monitoring.md': {
    given: async (api) => ({ printed: (await afterMessage(api, '[[fail]]')).session, env: { METRICS_TOKEN } }),
    before: {
      command: /--level warn/,
      // A warning comes when something is wrong with the server or the engine, which is not to be had here.
      async given({ logFile, send }) {
        const session = (await send('GET', '/v1/turns?states[]=failed')).data[0].session_id;
        await appendFile(logFile, `${JSON.stringify({ level: 40, time: 0, session, msg: 'a warning' })}\n`);
        return { printed: session };
      },
    },
  },
  'docs/operating.md': {
    async given(api) {
      const { session, answer } = await afterMessage(api, '[[fail]]');
      return { printed: `${session} ${answer.turn.id}` };
    },
    before: {
      command: /turns cancel/,
      async given(api) {
        const { session } = await agentAndSession(api);
        const events = [{ type: 'user.message', content: '[[hang]]' }];
        const { data } = await api.send('POST', `/v1/sessions/${session}/events`, { events });
        return { printed: `${session} ${data[0].turn_id}` };
      },
    },
  },
  'docs/reverse-proxy.md': { given: aSession },
  'docs/tenants-and-keys.md': {
    async given(api) {
      const { link } = await api.send('POST', '/v1/invitations', { email: 'eve@example.org', role: 'member' });
      const joined = { token: String(link).split('/').at(-1), name: 'Eve', password: PASSWORD };
      const response = await fetch(`${api.url}/v1/auth/accept_invitation`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', origin: api.url },
        body: JSON.stringify(joined),
      });
      assert.ok(response.ok, await response.text());
      return aSession(api);
    },
  },
  'docs/troubleshooting.md': { runtime: 'docker' },
  'docs/usage-and-budgets.md': {
    runtime: 'docker',
    async given(api) {
      await afterMessage(api, 'Good morning', { model: 'claude-sonnet-4-5' });
      await api.send('POST', '/v1/tenants', { name: 'Acme', id: 'acme' });
      const plan = await api.send('POST', '/v1/plans', { name: 'small', limits: { agents: 5 } });
      return { printed: `${(await aSession(api)).printed} ${plan.id}` };
    },
  },
  'docs/workspaces.md': {
    files: { 'my-project/src/report.md': 'All is well.\n', 'my-project/build/out.txt': 'x\n', 'notes.txt': 'hello\n' },
    given: aSession,
  },
};
