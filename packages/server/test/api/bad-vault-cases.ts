import type { Case } from './bad-input-cases.ts';

const body = (value: object) => ({ body: value });
const KEY = { type: 'provider_key', provider: 'anthropic', api_key: 'a-key-of-some-length' };
const VAULT = '/v1/vaults/vlt_0';
const ONE = `${VAULT}/credentials/vcrd_0`;

export const VAULT_IDS: readonly Case[] = [
  { what: 'vault', send: ['GET', VAULT], code: 'vault_not_found' },
  { what: 'vault to update', send: ['POST', VAULT, body({ display_name: 'x' })], code: 'vault_not_found' },
  { what: 'vault to archive', send: ['POST', `${VAULT}/archive`], code: 'vault_not_found' },
  { what: 'vault to delete', send: ['DELETE', VAULT], code: 'vault_not_found' },
  { what: 'vault with credentials', send: ['GET', `${VAULT}/credentials`], code: 'vault_not_found' },
  { what: 'vault to put a credential into', send: ['POST', `${VAULT}/credentials`, body({ auth: KEY })], code: 'vault_not_found' },
  { what: 'vault with a credential', send: ['GET', ONE], code: 'vault_not_found' },
  { what: 'vault with a credential to update', send: ['POST', ONE, body({ display_name: 'x' })], code: 'vault_not_found' },
  { what: 'vault with a credential to archive', send: ['POST', `${ONE}/archive`], code: 'vault_not_found' },
  { what: 'vault with a credential to delete', send: ['DELETE', ONE], code: 'vault_not_found' },
  { what: 'vault with a credential to test', send: ['POST', `${ONE}/test`], code: 'vault_not_found' },
  { what: 'vault with a credential to validate', send: ['POST', `${ONE}/mcp_oauth_validate`], code: 'vault_not_found' },
  { what: 'encryption key to remove', send: ['DELETE', '/v1/encryption_keys/kek_0'], code: 'encryption_key_not_found' },
  { what: 'tenant with a policy', send: ['GET', '/v1/tenants/tnt_0/provider_policy'], code: 'tenant_not_found' },
  {
    what: 'tenant whose policy to set',
    send: ['POST', '/v1/tenants/tnt_0/provider_policy', body({ managed_keys: true })],
    code: 'tenant_not_found',
  },
  {
    what: 'agent of a vault',
    send: ['POST', '/v1/vaults', body({ display_name: 'x', agent_ids: ['agt_0'] })],
    code: 'agent_not_found',
  },
];

const wrong = (what: string, path: string, value: object, pointer: string): Case => ({
  what,
  send: ['POST', path, body(value)],
  code: 'request_invalid',
  pointer,
});
const auth = (what: string, value: object, pointer: string) => wrong(what, `${VAULT}/credentials`, { auth: value }, pointer);

export const VAULT_BODIES: readonly Case[] = [
  wrong('a vault without a name', '/v1/vaults', {}, '/display_name'),
  wrong('a vault with an unknown field', VAULT, { shared: true }, '/shared'),
  auth('a credential of an unknown kind', { type: 'password' }, '/auth/type'),
  auth('a key for an unknown provider', { ...KEY, provider: 'nobody' }, '/auth/provider'),
  auth('a key with the end of a line', { ...KEY, api_key: 'a-key-of-some\r\nlength' }, '/auth/api_key'),
  auth('a base URL with a user', { ...KEY, base_url: 'https://user:pass@llm.example' }, '/auth/base_url'),
  auth('a secret for no host', { type: 'http', name: 'x', hosts: [], secret: 'a-secret-of-some-length' }, '/auth/hosts'),
  auth(
    'a template without the secret',
    { type: 'http', name: 'x', hosts: ['a.example'], secret: 'a-secret-of-some-length', template: 'Bearer' },
    '/auth/template',
  ),
  wrong('a policy without a word', '/v1/tenants/default/provider_policy', {}, '/managed_keys'),
  {
    what: 'a session with a vault that there is not',
    send: ['POST', '/v1/sessions', body({ agent: 'agt_0', environment_id: 'env_0', vault_ids: [1] })],
    code: 'request_invalid',
    pointer: '/vault_ids/0',
  },
];
