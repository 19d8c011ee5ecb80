import { statSync } from 'node:fs';
import path from 'node:path';
import { type McpServerParam, mcpServerParamSchema } from '@cloister/api';
import { type AgentHttpFile, readAgentHttpFile } from './agent-http-file.ts';
import { type Environment, integer, invalid, peek, secret } from './values.ts';

export const PERMISSION_MODES = ['bypassPermissions', 'acceptEdits', 'default', 'plan', 'dontAsk'] as const;
export type PermissionMode = (typeof PERMISSION_MODES)[number];

/** The settings of Claude Agent HTTP that have a place here. */
export interface AgentHttpSettings {
  /** How long after its last message a session is there; undefined for ever. */
  readonly sessionTtlMs: number | undefined;
  readonly maxSessionsPerUser: number | undefined;
  readonly systemPrompt: string;
  /** Left out, the installation's own. */
  readonly model: string | undefined;
  readonly permissionMode: PermissionMode;
  readonly allowedTools: readonly string[];
  readonly disallowedTools: readonly string[];
  readonly mcpServers: readonly McpServerParam[];
  /** Folders of the operator's, whose skills the agents get. */
  readonly plugins: readonly string[];
}

const DEFAULT_TOOLS = ['Bash', 'Read', 'Write', 'Edit', 'Glob', 'Grep'];
const YEAR_SECONDS = 31_536_000;

/** Its own variables before its file, and that before the defaults. */
export function agentHttpSettings(env: Environment): AgentHttpSettings {
  const file = readAgentHttpFile(env);
  const ttl = count(env, 'CLAUDE_AGENT_SESSION_TTL', file, 'session.ttl', 3600, YEAR_SECONDS);
  const perUser = count(env, 'CLAUDE_AGENT_MAX_SESSIONS_PER_USER', file, 'api.max_sessions_per_user', 5, 1_000_000);
  return {
    sessionTtlMs: ttl === 0 ? undefined : ttl * 1000,
    maxSessionsPerUser: perUser === 0 ? undefined : perUser,
    systemPrompt: textOf(file, 'defaults.system_prompt') ?? 'You are a helpful AI assistant.',
    model: textOf(file, 'defaults.model'),
    permissionMode: permissionMode(file),
    allowedTools: textsOf(file, 'defaults.allowed_tools') ?? DEFAULT_TOOLS,
    disallowedTools: textsOf(file, 'defaults.disallowed_tools') ?? [],
    mcpServers: mcpServers(file),
    plugins: plugins(file),
  };
}

/** By name, each a command in the sandbox or an address. */
function mcpServers(file: AgentHttpFile | undefined): readonly McpServerParam[] {
  return Object.entries(file?.values.get('mcp_servers') ?? {}).map(([name, server]: [string, unknown]) => {
    const { type, headers, ...rest } = Object.fromEntries(Object.entries(server ?? {}));
    const at = `mcp_servers.${name}`;
    if (headers !== undefined && Object.keys(Object(headers)).length > 0)
      throw invalid(file?.path ?? '', `${at}.headers: put what signs in into a vault, as docs/migrate-from-claude-agent-http.md says`);
    const isProgram = type === undefined ? 'command' in rest : type === 'stdio';
    const parsed = mcpServerParamSchema.safeParse({ ...rest, name, type: isProgram ? 'stdio' : 'url' });
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    throw invalid(file?.path ?? '', `${[at, ...(issue?.path ?? [])].join('.')}: ${issue?.message ?? 'it is no MCP server'}`);
  });
}

/** Of a plugin its skills are taken. */
function plugins(file: AgentHttpFile | undefined): readonly string[] {
  const given = file?.values.get('plugins');
  return (Array.isArray(given) ? given : []).map((plugin: unknown, index) => {
    const { type = 'local', path: folder } = Object.fromEntries(Object.entries(plugin ?? {}));
    const at = `plugins.${index}`;
    if (type !== 'local') throw invalid(file?.path ?? '', `${at}.type "${String(type)}" is not local`);
    if (typeof folder !== 'string' || !path.isAbsolute(folder)) throw invalid(file?.path ?? '', `${at}.path is no absolute path`);
    if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) throw invalid(file?.path ?? '', `${at}.path: ${folder} is no folder`);
    return folder;
  });
}

function permissionMode(file: AgentHttpFile | undefined): PermissionMode {
  const given = textOf(file, 'defaults.permission_mode') ?? 'bypassPermissions';
  const found = PERMISSION_MODES.find((mode) => mode === given);
  if (found !== undefined) return found;
  throw invalid(file?.path ?? '', `defaults.permission_mode "${given}" is none of ${PERMISSION_MODES.join(', ')}`);
}

function count(env: Environment, name: string, file: AgentHttpFile | undefined, key: string, fallback: number, max: number): number {
  const value = file?.values.get(key);
  if (typeof value !== 'number') return integer(env, name, fallback, { min: 0, max });
  if (!Number.isInteger(value) || value < 0 || value > max)
    throw invalid(file?.path ?? '', `${key} is not a whole number from 0 to ${max}`);
  return integer(env, name, value, { min: 0, max });
}

function textOf(file: AgentHttpFile | undefined, key: string): string | undefined {
  const value = file?.values.get(key);
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function textsOf(file: AgentHttpFile | undefined, key: string): readonly string[] | undefined {
  const value = file?.values.get(key);
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : undefined;
}

/** Variables and settings of its that are ours by another name. */
const ALIASES: readonly (readonly [ours: string, theirs: readonly string[], key: string | undefined])[] = [
  ['HOST', [], 'api.host'],
  ['PORT', ['CLAUDE_AGENT_API_PORT', 'API_PORT'], 'api.port'],
  ['MAX_CONCURRENT_SANDBOXES', [], 'api.max_sessions'],
  ['MAX_CONCURRENT_TURNS_PER_TENANT', [], 'api.max_concurrent_requests'],
  ['SANDBOX_IDLE_SECONDS', [], 'api.idle_session_timeout'],
];

const STORES: Readonly<Record<string, string>> = { sqlite: 'sqlite', memory: 'memory', postgresql: 'postgres', postgres: 'postgres' };

/** Our variables, as far as only theirs are set, and notes for those that mean nothing here. What is `below` goes before its file alone. */
export function agentHttpAliases(
  env: Environment,
  below: Environment = {},
): { readonly env: Environment; readonly from: ReadonlyMap<string, string>; readonly notes: readonly string[] } {
  const file = readAgentHttpFile(env);
  const found: Record<string, string> = {};
  const from = new Map<string, string>();
  const notes: string[] = [];
  for (const [ours, theirs, key] of ALIASES) {
    const name = theirs.find((one) => peek(env, one) !== undefined);
    const value = (name === undefined ? undefined : peek(env, name)) ?? (key === undefined ? undefined : file?.values.get(key));
    if ((typeof value !== 'string' && typeof value !== 'number') || peek(env, ours) !== undefined) continue;
    if (name === undefined && peek(below, ours) !== undefined) continue;
    const source = name ?? `${key} of ${file?.path}`;
    found[ours] = String(value);
    from.set(ours, source);
    notes.push(`${source} is taken as ${ours}`);
  }
  const database = databaseOf(env, file, below);
  if (database !== undefined) {
    Object.assign(found, database.env);
    for (const name of Object.keys(database.env)) from.set(name, 'the session storage of Claude Agent HTTP');
    notes.push(database.note);
  }
  return { env: found, from, notes: [...notes, ...notesOn(env, file)] };
}

function databaseOf(
  env: Environment,
  file: AgentHttpFile | undefined,
  below: Environment,
): { readonly env: Environment; readonly note: string } | undefined {
  const name = 'CLAUDE_AGENT_SESSION_STORAGE';
  const given = peek(env, name) ?? textOf(file, 'session.storage');
  const isSaid = (from: Environment) =>
    ['CLOISTER_STORE', 'DATABASE_URL', 'DATABASE_URL_FILE'].some((one) => peek(from, one) !== undefined);
  if (given === undefined || isSaid(env) || (peek(env, name) === undefined && isSaid(below))) return undefined;
  const store = STORES[given];
  if (store === undefined)
    throw invalid(peek(env, name) === undefined ? (file?.path ?? name) : name, `"${given}" is none of sqlite, postgresql, memory`);
  const note = `the session storage ${given} is taken as CLOISTER_STORE=${store}`;
  return { env: { CLOISTER_STORE: store, ...(store === 'postgres' ? { DATABASE_URL: databaseUrl(env, file) } : {}) }, note };
}

function databaseUrl(env: Environment, file: AgentHttpFile | undefined): string {
  const part = (name: string, fallback: string): string => {
    const variable = `CLAUDE_AGENT_SESSION_PG_${name.toUpperCase()}`;
    const set = file?.values.get(`session.pg_${name}`);
    return secret(env, variable) ?? (typeof set === 'string' || typeof set === 'number' ? String(set) : fallback);
  };
  const url = new URL('postgres://localhost');
  url.username = encodeURIComponent(part('user', 'postgres'));
  url.password = encodeURIComponent(part('password', 'postgres'));
  url.hostname = part('host', 'postgres');
  url.port = part('port', '5432');
  url.pathname = `/${encodeURIComponent(part('database', 'claude_agent'))}`;
  return url.href;
}

const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  'user.base_dir': 'the files of users are below DATA_DIR',
  'session.sqlite_path': 'the database is below DATA_DIR',
  'api.cors_origins': 'pages of other origins are not let in; put a proxy before the server',
  'api.memory_limit_mb': 'each sandbox has a limit of its own, which the environment "claude-agent-http" says',
  'defaults.setting_sources': 'settings are read by the agent program',
  'defaults.cli_path': 'the agent program is in the image of the sandbox',
  'defaults.max_turns': 'a turn ends by TURN_TIMEOUT_SECONDS',
  'defaults.max_budget_usd': 'budgets are set with /v1/budgets',
};
const VARIABLES_WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  CLAUDE_AGENT_USER_BASE_DIR: 'the files of users are below DATA_DIR',
  HOST_USER_DATA_DIR: 'the files of users are below DATA_DIR',
  HOST_DB_DIR: 'the database is below DATA_DIR',
};

function notesOn(env: Environment, file: AgentHttpFile | undefined): readonly string[] {
  const isSaid = (value: unknown) => !(Array.isArray(value) && value.length === 0);
  return [
    ...Object.entries(WITHOUT_EFFECT)
      .filter(([key]) => file?.values.has(key) === true && isSaid(file.values.get(key)))
      .map(([key, why]) => `${key} of ${file?.path} has no effect: ${why}`),
    ...Object.entries(VARIABLES_WITHOUT_EFFECT)
      .filter(([name]) => peek(env, name) !== undefined)
      .map(([name, why]) => `${name} has no effect: ${why}`),
  ];
}

/** Its variables that are taken as ours or explained, apart from those that its API reads for itself. */
export const VARIABLES_OF_AGENT_HTTP: readonly string[] = [
  ...ALIASES.flatMap(([, theirs]) => theirs),
  'CLAUDE_AGENT_SESSION_STORAGE',
  ...['HOST', 'PORT', 'DATABASE', 'USER', 'PASSWORD'].map((part) => `CLAUDE_AGENT_SESSION_PG_${part}`),
  ...Object.keys(VARIABLES_WITHOUT_EFFECT),
];
