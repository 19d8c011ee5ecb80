import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { nearest } from './nearest.ts';
import { type Environment, invalid, peek, text } from './values.ts';

/** The configuration file of Claude Agent HTTP: its values by their path, such as `session.ttl`. */
export interface AgentHttpFile {
  readonly path: string;
  readonly values: ReadonlyMap<string, unknown>;
}

type Kind = 'text' | 'flag' | 'number' | 'texts' | 'map' | 'list';

const KEYS: Readonly<Record<string, Kind>> = {
  'user.base_dir': 'text',
  'user.auto_create_dir': 'flag',
  'session.storage': 'text',
  'session.ttl': 'number',
  'session.sqlite_path': 'text',
  'session.pg_host': 'text',
  'session.pg_port': 'number',
  'session.pg_database': 'text',
  'session.pg_user': 'text',
  'session.pg_password': 'text',
  'api.host': 'text',
  'api.port': 'number',
  'api.cors_origins': 'texts',
  'api.max_sessions': 'number',
  'api.max_sessions_per_user': 'number',
  'api.max_concurrent_requests': 'number',
  'api.memory_limit_mb': 'number',
  'api.idle_session_timeout': 'number',
  'defaults.system_prompt': 'text',
  'defaults.permission_mode': 'text',
  'defaults.allowed_tools': 'texts',
  'defaults.disallowed_tools': 'texts',
  'defaults.setting_sources': 'texts',
  'defaults.cli_path': 'text',
  'defaults.model': 'text',
  'defaults.max_turns': 'number',
  'defaults.max_budget_usd': 'number',
  mcp_servers: 'map',
  plugins: 'list',
};
const SECTIONS: ReadonlySet<string> = new Set(Object.keys(KEYS).flatMap((key) => (key.includes('.') ? [key.split('.')[0] ?? ''] : [])));

/** What stands at the top of the file; in Cloister's own config.yaml, all else is Cloister's. */
export const AGENT_HTTP_SECTIONS: ReadonlySet<string> = new Set([...SECTIONS, 'mcp_servers', 'plugins']);

const IS: Readonly<Record<Kind, (value: unknown) => boolean>> = {
  text: (value) => typeof value === 'string',
  flag: (value) => typeof value === 'boolean',
  number: (value) => typeof value === 'number' && Number.isFinite(value),
  texts: (value) => Array.isArray(value) && value.every((one) => typeof one === 'string'),
  map: isMap,
  list: (value) => Array.isArray(value) && value.every(isMap),
};
const WORDS: Readonly<Record<Kind, string>> = {
  text: 'a text',
  flag: 'true or false',
  number: 'a number',
  texts: 'a list of texts',
  map: 'a map',
  list: 'a list of maps',
};

/** The variables that may name it: ours, and the one its own compose file mounts it by. */
const FILE_VARIABLES = ['CLAUDE_AGENT_CONFIG_FILE', 'HOST_CONFIG_FILE'] as const;

/** Undefined when no variable names one. Throws `config_invalid` naming the file and what is wrong with it. */
export function readAgentHttpFile(env: Environment): AgentHttpFile | undefined {
  const [named] = FILE_VARIABLES.map((name) => ({ name, path: text(env, name) })).filter(({ path }) => path !== undefined);
  if (named?.path === undefined) return undefined;
  const { name, path } = named;
  const document = load(name, path);
  return { path, values: readValues(path === peek(env, 'CLOISTER_CONFIG') ? sectionsOf(document) : document, path) };
}

function load(name: string, path: string): unknown {
  let source: string;
  try {
    source = readFileSync(path, 'utf8');
  } catch (cause) {
    throw invalid(name, `the file ${path} cannot be read`, cause);
  }
  try {
    return parse(source);
  } catch (cause) {
    throw invalid(name, `the file ${path} is no YAML`, cause);
  }
}

function sectionsOf(document: unknown): unknown {
  return isMap(document) ? Object.fromEntries(Object.entries(document).filter(([key]) => AGENT_HTTP_SECTIONS.has(key))) : document;
}

function readValues(document: unknown, path: string): ReadonlyMap<string, unknown> {
  const values = new Map<string, unknown>();
  if (document === null || document === undefined) return values;
  if (!isMap(document)) throw invalid(path, 'it is not a map of settings');
  for (const [section, value] of Object.entries(document)) {
    // A section with nothing but comments.
    if (value === null) continue;
    if (!SECTIONS.has(section)) {
      put(values, section, value, path);
    } else if (isMap(value)) {
      for (const [key, inner] of Object.entries(value)) if (inner !== null) put(values, `${section}.${key}`, inner, path);
    } else throw invalid(path, `${section} is not a map`);
  }
  return values;
}

function put(values: Map<string, unknown>, key: string, value: unknown, path: string): void {
  const kind = Object.hasOwn(KEYS, key) ? KEYS[key] : undefined;
  if (kind === undefined) throw invalid(path, `there is no setting "${key}"; ${suggestion(key)}`);
  if (!IS[kind](value)) throw invalid(path, `${key} is not ${WORDS[kind]}`);
  values.set(key, value);
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function suggestion(key: string): string {
  const known = [...Object.keys(KEYS), ...SECTIONS];
  const meant = nearest(key, known);
  return meant === undefined ? `the settings are ${Object.keys(KEYS).join(', ')}` : `did you mean "${meant}"?`;
}
