import type { ProblemCode } from '@cloister/api';
import { message, type RequestInput } from '../support/server.ts';
import { CONTENT_BODIES, CONTENT_IDS } from './bad-content-cases.ts';
import { VAULT_BODIES, VAULT_IDS } from './bad-vault-cases.ts';

export interface Case {
  readonly what: string;
  readonly send: readonly [method: string, path: string, init?: RequestInput];
  readonly code: ProblemCode;
  /** Of the first field that is named. */
  readonly pointer?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export const agent = (more: object) => ({ body: { name: 'x', model: 'demo', ...more } });
export const environment = (config: object) => ({ body: { name: 'x', config } });
const says = (...content: object[]) => ({ body: { events: [{ type: 'user.message', content }] } });
const tools = (...configs: object[]) => agent({ tools: [{ type: 'agent_toolset_20260401', configs }] });
const deep = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
const unsupported = (what: string, path: string, body: object, pointer: string): Case => ({
  what: `${what}: published, not supported here`,
  send: ['POST', path, { body }],
  code: 'capability_unsupported',
  pointer,
});

export const UNKNOWN_IDS: readonly Case[] = [
  ...CONTENT_IDS,
  ...VAULT_IDS,
  { what: 'agent', send: ['GET', '/v1/agents/agt_0'], code: 'agent_not_found' },
  { what: 'agent to update', send: ['POST', '/v1/agents/agt_0', { body: { name: 'y' } }], code: 'agent_not_found' },
  { what: 'agent to archive', send: ['POST', '/v1/agents/agt_0/archive'], code: 'agent_not_found' },
  { what: 'agent with versions', send: ['GET', '/v1/agents/agt_0/versions'], code: 'agent_not_found' },
  {
    what: 'agent of a session',
    send: ['POST', '/v1/sessions', { body: { agent: 'agt_0', environment_id: 'x' } }],
    code: 'agent_not_found',
  },
  { what: 'environment', send: ['GET', '/v1/environments/env_0'], code: 'environment_not_found' },
  { what: 'environment to update', send: ['POST', '/v1/environments/env_0', { body: { name: 'y' } }], code: 'environment_not_found' },
  { what: 'environment to archive', send: ['POST', '/v1/environments/env_0/archive'], code: 'environment_not_found' },
  { what: 'environment to delete', send: ['DELETE', '/v1/environments/env_0'], code: 'environment_not_found' },
  { what: 'session', send: ['GET', '/v1/sessions/ses_0'], code: 'session_not_found' },
  { what: 'session to update', send: ['POST', '/v1/sessions/ses_0', { body: { title: 'y' } }], code: 'session_not_found' },
  { what: 'session to archive', send: ['POST', '/v1/sessions/ses_0/archive'], code: 'session_not_found' },
  { what: 'session to delete', send: ['DELETE', '/v1/sessions/ses_0'], code: 'session_not_found' },
  { what: 'session with events', send: ['GET', '/v1/sessions/ses_0/events'], code: 'session_not_found' },
  {
    what: 'session to send to',
    send: ['POST', '/v1/sessions/ses_0/events', { body: { events: [message('m')] } }],
    code: 'session_not_found',
  },
  { what: 'sandbox to stop', send: ['DELETE', '/v1/sandboxes/sbx_0'], code: 'sandbox_not_found' },
  { what: 'session with egress', send: ['GET', '/v1/sessions/ses_0/egress'], code: 'session_not_found' },
  { what: 'session to stream', send: ['GET', '/v1/sessions/ses_0/events/stream'], code: 'session_not_found' },
  { what: 'session with files', send: ['GET', '/v1/sessions/ses_0/files'], code: 'session_not_found' },
  { what: 'session with a file', send: ['GET', '/v1/sessions/ses_0/files/content?path=a'], code: 'session_not_found' },
  { what: 'session to write to', send: ['PUT', '/v1/sessions/ses_0/files/content?path=a', { body: 'x' }], code: 'session_not_found' },
  { what: 'session to pack', send: ['GET', '/v1/sessions/ses_0/files/archive'], code: 'session_not_found' },
  { what: 'session to unpack into', send: ['PUT', '/v1/sessions/ses_0/files/archive', { body: 'x' }], code: 'session_not_found' },
  { what: 'session with snapshots', send: ['GET', '/v1/sessions/ses_0/snapshots'], code: 'session_not_found' },
  { what: 'session to keep', send: ['POST', '/v1/sessions/ses_0/snapshots'], code: 'session_not_found' },
  { what: 'session to bring back', send: ['POST', '/v1/sessions/ses_0/snapshots/snp_0/restore'], code: 'session_not_found' },
  { what: 'session to measure', send: ['GET', '/v1/sessions/ses_0/workspace'], code: 'session_not_found' },
  { what: 'session to fork', send: ['POST', '/v1/sessions/ses_0/fork', { body: {} }], code: 'session_not_found' },
  { what: 'approval', send: ['GET', '/v1/approvals/evt_0'], code: 'approval_not_found' },
  { what: 'approval to answer', send: ['POST', '/v1/approvals/evt_0/answer', { body: { decision: 'allow' } }], code: 'approval_not_found' },
  { what: 'API key', send: ['GET', '/v1/api_keys/key_0'], code: 'api_key_not_found' },
  { what: 'API key to change', send: ['POST', '/v1/api_keys/key_0', { body: { name: 'y' } }], code: 'api_key_not_found' },
  { what: 'API key to revoke', send: ['POST', '/v1/api_keys/key_0/revoke'], code: 'api_key_not_found' },
  { what: 'person', send: ['GET', '/v1/users/usr_0'], code: 'user_not_found' },
  { what: 'person to change', send: ['POST', '/v1/users/usr_0', { body: { role: 'viewer' } }], code: 'user_not_found' },
  { what: 'person to remove', send: ['DELETE', '/v1/users/usr_0'], code: 'user_not_found' },
  { what: 'invitation to take back', send: ['DELETE', '/v1/invitations/inv_0'], code: 'invitation_not_found' },
  { what: 'tenant', send: ['GET', '/v1/tenants/tnt_0'], code: 'tenant_not_found' },
  { what: 'tenant to change', send: ['POST', '/v1/tenants/tnt_0', { body: { name: 'y' } }], code: 'tenant_not_found' },
  { what: 'tenant to suspend', send: ['POST', '/v1/tenants/tnt_0/suspend'], code: 'tenant_not_found' },
  { what: 'tenant to delete', send: ['DELETE', '/v1/tenants/tnt_0'], code: 'tenant_not_found' },
  { what: 'an id with a NUL', send: ['GET', '/v1/sessions/%00'], code: 'session_not_found' },
  { what: 'an id that is no UTF-8', send: ['GET', '/v1/sessions/%ff%fe'], code: 'session_not_found' },
  { what: 'an id of a path', send: ['GET', '/v1/sessions/..%2f..%2fetc%2fpasswd'], code: 'session_not_found' },
];

export const BODIES: readonly Case[] = [
  ...VAULT_BODIES,
  ...CONTENT_BODIES,
  { what: 'malformed JSON', send: ['POST', '/v1/agents', { body: '{"name":' }], code: 'json_malformed' },
  { what: 'a body that is an array', send: ['POST', '/v1/agents', { body: '[]' }], code: 'request_invalid' },
  { what: 'a body that is null', send: ['POST', '/v1/agents', { body: 'null' }], code: 'request_invalid' },
  { what: 'no body', send: ['POST', '/v1/agents'], code: 'request_invalid', pointer: '/model' },
  { what: 'an unknown field', send: ['POST', '/v1/agents', agent({ nmae: 'y' })], code: 'request_invalid', pointer: '/nmae' },
  { what: 'an unknown field to escape', send: ['POST', '/v1/agents', agent({ 'a/b~c': 1 })], code: 'request_invalid', pointer: '/a~1b~0c' },
  {
    what: 'an unknown field deeper down',
    send: ['POST', '/v1/environments', environment({ type: 'container', memroy: '1g' })],
    code: 'request_invalid',
    pointer: '/config/memroy',
  },
  {
    what: 'an unknown event type',
    send: ['POST', '/v1/sessions/ses_0/events', { body: { events: [{ type: 'user.shout' }] } }],
    code: 'request_invalid',
    pointer: '/events/0/type',
  },
  {
    what: 'a message without content',
    send: ['POST', '/v1/sessions/ses_0/events', { body: { events: [{ type: 'user.message', content: [] }] } }],
    code: 'request_invalid',
  },
  {
    what: 'an unknown field in a block',
    send: ['POST', '/v1/sessions/ses_0/events', says({ type: 'text', text: 'a', txet: 'b' })],
    code: 'request_invalid',
    pointer: '/events/0/content/0/txet',
  },
  {
    what: 'a block without its text',
    send: ['POST', '/v1/sessions/ses_0/events', says({ type: 'text', txet: 'a' })],
    code: 'request_invalid',
    pointer: '/events/0/content/0/text',
  },
  {
    what: 'an unknown block',
    send: ['POST', '/v1/sessions/ses_0/events', says({ type: 'img' })],
    code: 'request_invalid',
    pointer: '/events/0/content/0/type',
  },
  { what: 'a model that is a number', send: ['POST', '/v1/agents', agent({ model: 5 })], code: 'request_invalid', pointer: '/model' },
  {
    what: 'an unknown effort',
    send: ['POST', '/v1/agents', agent({ model: { id: 'demo', effort: 'huge' } })],
    code: 'request_invalid',
    pointer: '/model/effort',
  },
  {
    what: 'a decision that is none',
    send: ['POST', '/v1/approvals/evt_0/answer', { body: { decision: 'maybe' } }],
    code: 'request_invalid',
    pointer: '/decision',
  },
  {
    what: 'a rule with a pattern that cannot be kept to',
    send: ['POST', '/v1/agents', agent({ permission_rules: [{ tool: 'bash', policy: 'ask', when: { command: { regex: '(?=a)' } } }] })],
    code: 'request_invalid',
    pointer: '/permission_rules/0/when/command',
  },
  {
    what: 'a rule with a policy that is none',
    send: ['POST', '/v1/agents', agent({ permission_rules: [{ tool: 'bash', policy: 'maybe' }] })],
    code: 'request_invalid',
    pointer: '/permission_rules/0/policy',
  },
  { what: 'no events', send: ['POST', '/v1/sessions/ses_0/events', { body: { events: [] } }], code: 'request_invalid', pointer: '/events' },
  {
    what: 'a null id',
    send: ['POST', '/v1/sessions', { body: { agent: null, environment_id: 'x' } }],
    code: 'request_invalid',
    pointer: '/agent',
  },
  {
    what: 'another content type',
    send: ['POST', '/v1/agents', { body: 'a=b', headers: { 'content-type': 'text/plain' } }],
    code: 'content_type_unsupported',
  },
  {
    what: 'a form',
    send: ['POST', '/v1/agents', { body: 'a=b', headers: { 'content-type': 'application/x-www-form-urlencoded' } }],
    code: 'content_type_unsupported',
  },
  {
    what: 'JSON by another name',
    send: ['POST', '/v1/agents', { body: '{}', headers: { 'content-type': 'application/jsonx' } }],
    code: 'content_type_unsupported',
  },
  { what: '2 MB with its length', send: ['POST', '/v1/agents', { body: ' '.repeat(2_000_000) }], code: 'message_too_large' },
  {
    what: '__proto__ as a field',
    send: ['POST', '/v1/agents', { body: '{"name":"x","model":"demo","__proto__":{"harness":"y"}}' }],
    code: 'request_invalid',
    pointer: '/__proto__',
  },
  {
    what: '__proto__ in metadata',
    send: ['POST', '/v1/agents', { body: '{"name":"x","model":"demo","metadata":{"__proto__":"y"}}' }],
    code: 'request_invalid',
    pointer: '/metadata/__proto__',
  },
  { what: 'nesting 100,000 deep', send: ['POST', '/v1/agents', { body: deep(100_000) }], code: 'request_invalid' },
  {
    what: 'nesting in an open field',
    send: ['POST', '/v1/agents', { body: `{"name":"x","model":"demo","multiagent":[${deep(100_000)}]}` }],
    code: 'capability_unsupported',
  },
  {
    what: 'nesting with a broken text',
    send: ['POST', '/v1/agents', { body: `[${deep(100_000)},"\\u0000"]` }],
    code: 'request_invalid',
    pointer: '/1',
  },
  {
    what: 'a lone surrogate',
    send: ['POST', '/v1/agents', { body: '{"name":"\\ud800","model":"demo"}' }],
    code: 'request_invalid',
    pointer: '/name',
  },
  {
    what: 'a NUL',
    send: ['POST', '/v1/agents', { body: '{"name":"x","model":"demo","metadata":{"a":"\\u0000"}}' }],
    code: 'request_invalid',
    pointer: '/metadata/a',
  },
  {
    what: 'a NUL in a key',
    send: ['POST', '/v1/agents', { body: '{"name":"x","model":"demo","metadata":{"a\\u0000":""}}' }],
    code: 'request_invalid',
  },
  {
    what: '17 pairs of metadata',
    send: ['POST', '/v1/agents', agent({ metadata: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, ''])) })],
    code: 'request_invalid',
    pointer: '/metadata',
  },
  {
    what: 'a role that is none',
    send: ['POST', '/v1/api_keys', { body: { name: 'x', role: 'god' } }],
    code: 'request_invalid',
    pointer: '/role',
  },
  {
    what: 'a scope without its agent',
    send: ['POST', '/v1/api_keys', { body: { name: 'x', scope: { type: 'agent' } } }],
    code: 'request_invalid',
    pointer: '/scope/agent_id',
  },
  {
    what: 'an address that is none',
    send: ['POST', '/v1/invitations', { body: { email: 'ada' } }],
    code: 'request_invalid',
    pointer: '/email',
  },
  {
    what: 'a password that is short',
    send: ['POST', '/v1/auth/accept_invitation', { body: { token: 'x', name: 'x', password: 'short' } }],
    code: 'request_invalid',
    pointer: '/password',
  },
  {
    what: 'a tenant of capitals',
    send: ['POST', '/v1/tenants', { body: { id: 'ACME', name: 'x' } }],
    code: 'request_invalid',
    pointer: '/id',
  },
  { what: 'a name of spaces', send: ['POST', '/v1/agents', agent({ name: '   ' })], code: 'request_invalid', pointer: '/name' },
  { what: 'an unknown harness', send: ['POST', '/v1/agents', agent({ harness: 'nobody' })], code: 'harness_unknown', pointer: '/harness' },
  { what: 'an unknown model', send: ['POST', '/v1/agents', agent({ model: 'nobody' })], code: 'model_unknown', pointer: '/model' },
  {
    what: 'a model without its key',
    send: ['POST', '/v1/agents', agent({ model: 'claude-sonnet-4-5' })],
    code: 'provider_not_configured',
    pointer: '/model',
  },
  {
    what: 'a prefixed model without its key',
    send: ['POST', '/v1/agents', agent({ model: 'openai/gpt-5' })],
    code: 'provider_not_configured',
  },
  {
    what: 'a toolset twice',
    send: ['POST', '/v1/agents', agent({ tools: [1, 2].map(() => ({ type: 'agent_toolset_20260401' })) })],
    code: 'request_invalid',
    pointer: '/tools/1',
  },
  {
    what: 'two rules for a tool',
    send: ['POST', '/v1/agents', tools({ name: 'bash', enabled: false }, { name: 'bash' })],
    code: 'request_invalid',
    pointer: '/tools/0/configs/1',
  },
  {
    what: 'a rule of two tools',
    send: ['POST', '/v1/agents', tools({ name: 'bash', type: 'read' })],
    code: 'request_invalid',
    pointer: '/tools/0/configs/0/type',
  },
  {
    what: 'an unrestricted network',
    send: ['POST', '/v1/environments', environment({ type: 'container', networking: { type: 'unrestricted' } })],
    code: 'network_unrestricted_refused',
    pointer: '/config/networking/type',
  },
  {
    what: 'a runtime that is not there',
    send: ['POST', '/v1/environments', environment({ type: 'container', runtime: 'gvisor' })],
    code: 'runtime_class_missing',
    pointer: '/config/runtime',
  },
  {
    what: 'a mount without a list of what may be mounted',
    send: ['POST', '/v1/environments', environment({ type: 'container', mounts: [{ source: '/etc', target: '/mnt/etc' }] })],
    code: 'mount_refused',
    pointer: '/config/mounts/0/source',
  },
  {
    what: 'a mount over the workspace',
    send: ['POST', '/v1/environments', environment({ type: 'container', mounts: [{ source: 'memory', target: '/workspace' }] })],
    code: 'mount_refused',
    pointer: '/config/mounts/0/target',
  },
  {
    what: 'a host that is none',
    send: ['POST', '/v1/environments', environment({ type: 'cloud', networking: { type: 'limited', allowed_hosts: ['http://x/'] } })],
    code: 'request_invalid',
    pointer: '/config/networking/allowed_hosts/0',
  },
  {
    what: 'memory that is none',
    send: ['POST', '/v1/environments', environment({ type: 'container', memory: 'much' })],
    code: 'request_invalid',
    pointer: '/config/memory',
  },
  {
    what: 'too little memory',
    send: ['POST', '/v1/environments', environment({ type: 'container', memory: '1k' })],
    code: 'request_invalid',
    pointer: '/config/memory',
  },
];

const base = { name: 'x', model: 'demo' };
const session = { agent: 'agt_0', environment_id: 'env_0' };
const EVENTS = '/v1/sessions/ses_0/events';
export const UNSUPPORTED: readonly Case[] = [
  unsupported('skills', '/v1/agents', { ...base, skills: [{ type: 'anthropic', skill_id: 'a' }] }, '/skills/0/type'),
  unsupported('multiagent', '/v1/agents', { ...base, multiagent: { type: 'coordinator' } }, '/multiagent'),
  unsupported('custom tools', '/v1/agents', { ...base, tools: [{ type: 'custom', name: 'a' }] }, '/tools/0'),
  unsupported('budgets', '/v1/sessions', { ...session, budget: { tokens: 1 } }, '/budget'),
  unsupported('a role', '/v1/agents', { ...base, execution_identity: { type: 'aws_role', role_arn: 'a' } }, '/execution_identity'),
  unsupported('where a model runs', '/v1/agents', { ...base, model: { id: 'demo', inference_geo: 'eu' } }, '/model/inference_geo'),
  unsupported(
    'domains of a tool',
    '/v1/agents',
    tools({ name: 'read' }, { name: 'web_fetch', allowed_domains: ['example.org'] }).body,
    '/tools/0/configs/1/allowed_domains',
  ),
  unsupported('outcomes', EVENTS, { events: [message(), { type: 'user.define_outcome', description: 'a' }] }, '/events/1/type'),
  unsupported('results of custom tools', EVENTS, { events: [{ type: 'user.custom_tool_result' }] }, '/events/0/type'),
  unsupported('system messages', EVENTS, { events: [{ type: 'system.message', content: [] }] }, '/events/0/type'),
  unsupported('threads', EVENTS, { events: [{ type: 'user.interrupt', session_thread_id: 'a' }] }, '/events/0/session_thread_id'),
  unsupported(
    'images by address',
    EVENTS,
    says({ type: 'text', text: 'a' }, { type: 'image', source: { type: 'url', url: 'https://a' } }).body,
    '/events/0/content/1/source/type',
  ),
  unsupported(
    'initial outcomes',
    '/v1/sessions',
    { ...session, initial_events: [{ type: 'user.define_outcome' }] },
    '/initial_events/0/type',
  ),
  unsupported('self-hosted', '/v1/environments', { name: 'x', config: { type: 'self_hosted' } }, '/config/type'),
  unsupported(
    'packages',
    '/v1/environments',
    { name: 'x', config: { type: 'cloud', packages: { pip: ['numpy'] } } },
    '/config/packages/pip',
  ),
];
