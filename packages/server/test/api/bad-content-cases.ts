import type { Case } from './bad-input-cases.ts';

const STORE = '/v1/memory_stores/memstore_0';
const RESOURCES = '/v1/sessions/ses_0/resources';
const file = { body: { type: 'file', file_id: 'file_0' } };
const agent = (more: object) => ({ body: { name: 'x', model: 'demo', ...more } });
const server = { type: 'url', name: 'docs', url: 'https://docs.example/mcp' };
const FORM = '--b\r\nContent-Disposition: form-data; name="files[]"; filename="SKILL.md"\r\n\r\nx\r\n--b--\r\n';
const form = { body: FORM, headers: { 'content-type': 'multipart/form-data; boundary=b' } };

export const CONTENT_IDS: readonly Case[] = [
  { what: 'uploaded file', send: ['GET', '/v1/files/file_0'], code: 'stored_file_not_found' },
  { what: 'uploaded file to read', send: ['GET', '/v1/files/file_0/content'], code: 'stored_file_not_found' },
  { what: 'uploaded file to delete', send: ['DELETE', '/v1/files/file_0'], code: 'stored_file_not_found' },
  {
    what: 'uploaded file of a message',
    send: [
      'POST',
      '/v1/sessions/ses_0/events',
      { body: { events: [{ type: 'user.message', content: [{ type: 'document', source: { type: 'file', file_id: 'file_0' } }] }] } },
    ],
    code: 'stored_file_not_found',
  },
  { what: 'skill', send: ['GET', '/v1/skills/skill_0'], code: 'skill_not_found' },
  { what: 'skill to delete', send: ['DELETE', '/v1/skills/skill_0'], code: 'skill_not_found' },
  { what: 'skill with versions', send: ['GET', '/v1/skills/skill_0/versions'], code: 'skill_not_found' },
  { what: 'skill to add to', send: ['POST', '/v1/skills/skill_0/versions', form], code: 'skill_not_found' },
  { what: 'version of a skill', send: ['GET', '/v1/skills/skill_0/versions/latest'], code: 'skill_not_found' },
  { what: 'version to download', send: ['GET', '/v1/skills/skill_0/versions/latest/content'], code: 'skill_not_found' },
  { what: 'version to delete', send: ['DELETE', '/v1/skills/skill_0/versions/skver_0'], code: 'skill_not_found' },
  {
    what: 'skill of an agent',
    send: ['POST', '/v1/agents', agent({ skills: [{ type: 'custom', skill_id: 'skill_0' }] })],
    code: 'skill_not_found',
  },
  { what: 'memory store', send: ['GET', STORE], code: 'memory_store_not_found' },
  { what: 'memory store to change', send: ['POST', STORE, { body: { name: 'x' } }], code: 'memory_store_not_found' },
  { what: 'memory store to archive', send: ['POST', `${STORE}/archive`], code: 'memory_store_not_found' },
  { what: 'memory store to delete', send: ['DELETE', STORE], code: 'memory_store_not_found' },
  { what: 'memory store with memories', send: ['GET', `${STORE}/memories`], code: 'memory_store_not_found' },
  {
    what: 'memory store to write to',
    send: ['POST', `${STORE}/memories`, { body: { path: '/a', content: 'x' } }],
    code: 'memory_store_not_found',
  },
  { what: 'memory', send: ['GET', `${STORE}/memories/mem_0`], code: 'memory_store_not_found' },
  { what: 'memory to change', send: ['POST', `${STORE}/memories/mem_0`, { body: { content: 'x' } }], code: 'memory_store_not_found' },
  { what: 'memory to delete', send: ['DELETE', `${STORE}/memories/mem_0`], code: 'memory_store_not_found' },
  { what: 'memory store with versions', send: ['GET', `${STORE}/memory_versions`], code: 'memory_store_not_found' },
  { what: 'version of a memory', send: ['GET', `${STORE}/memory_versions/memver_0`], code: 'memory_store_not_found' },
  { what: 'version to redact', send: ['POST', `${STORE}/memory_versions/memver_0/redact`], code: 'memory_store_not_found' },
  { what: 'session with resources', send: ['GET', RESOURCES], code: 'session_not_found' },
  { what: 'session to give to', send: ['POST', RESOURCES, file], code: 'session_not_found' },
  { what: 'resource', send: ['GET', `${RESOURCES}/sesrsc_0`], code: 'session_not_found' },
  { what: 'resource to take back', send: ['DELETE', `${RESOURCES}/sesrsc_0`], code: 'session_not_found' },
];

export const CONTENT_BODIES: readonly Case[] = [
  { what: 'an upload that is no form', send: ['POST', '/v1/files', { body: {} }], code: 'upload_invalid' },
  { what: 'a skill that is no form', send: ['POST', '/v1/skills', { body: {} }], code: 'upload_invalid' },
  { what: 'a form without a skill', send: ['POST', '/v1/skills', form], code: 'skill_invalid' },
  { what: 'a memory store without a name', send: ['POST', '/v1/memory_stores', { body: {} }], code: 'request_invalid', pointer: '/name' },
  {
    what: 'a path of a memory that is none',
    send: ['POST', `${STORE}/memories`, { body: { path: 'a', content: '' } }],
    code: 'request_invalid',
    pointer: '/path',
  },
  {
    what: 'a memory that is too long',
    send: ['POST', `${STORE}/memories`, { body: { path: '/a', content: 'x'.repeat(102_401) } }],
    code: 'request_invalid',
    pointer: '/content',
  },
  {
    what: 'a resource of another kind',
    send: ['POST', RESOURCES, { body: { type: 'memory_store' } }],
    code: 'request_invalid',
    pointer: '/type',
  },
  {
    what: 'an MCP server without its toolset',
    send: ['POST', '/v1/agents', agent({ mcp_servers: [server], tools: [] })],
    code: 'request_invalid',
    pointer: '/mcp_servers/0',
  },
  {
    what: 'a toolset without its MCP server',
    send: ['POST', '/v1/agents', agent({ tools: [{ type: 'mcp_toolset', mcp_server_name: 'docs' }] })],
    code: 'request_invalid',
    pointer: '/tools/0/mcp_server_name',
  },
  {
    what: 'an MCP server with a key in its URL',
    send: ['POST', '/v1/agents', agent({ mcp_servers: [{ ...server, url: 'https://user:key@docs.example/mcp' }] })],
    code: 'request_invalid',
    pointer: '/mcp_servers/0/url',
  },
  {
    what: 'an MCP server twice',
    send: ['POST', '/v1/agents', agent({ mcp_servers: [server, server] })],
    code: 'request_invalid',
    pointer: '/mcp_servers/1/name',
  },
  {
    what: 'an MCP server by a name that no tool could have',
    send: ['POST', '/v1/agents', agent({ mcp_servers: [{ ...server, name: 'a__b' }] })],
    code: 'request_invalid',
    pointer: '/mcp_servers/0/name',
  },
];
