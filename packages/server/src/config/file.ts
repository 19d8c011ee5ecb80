import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { AGENT_HTTP_SECTIONS } from './agent-http-file.ts';
import { nearest } from './nearest.ts';
import { isSecretFile, type Settings } from './schema.ts';
import { type Environment, invalid, peek } from './values.ts';

/** Settings from `config.yaml`, under the names of their variables. */
export interface ConfigFile {
  readonly path: string;
  readonly env: Readonly<Record<string, string>>;
  /** Whether it also has sections of Claude Agent HTTP. */
  readonly hasSections: boolean;
  readonly notes: readonly string[];
}

/** What says where settings are cannot be among them. */
const NOT_IN_A_FILE = 'CLOISTER_CONFIG';

/** The one that CLOISTER_CONFIG names, else `config.yaml` in the data directory, where there is one. */
export function readConfigFile(given: Environment, settings: () => Settings): ConfigFile | undefined {
  const named = peek(given, 'CLOISTER_CONFIG');
  const dataDir = path.resolve(peek(given, 'DATA_DIR') ?? './data');
  const file = named === undefined ? path.join(dataDir, 'config.yaml') : path.resolve(named);
  if (named === undefined && !existsSync(file)) return undefined;
  const found = flatten(load(file), file, settings());
  if (named === undefined && found.env.DATA_DIR !== undefined && path.resolve(found.env.DATA_DIR) !== dataDir)
    throw invalid(file, 'data_dir cannot be set in the file that is found by it: set DATA_DIR, or name the file by CLOISTER_CONFIG');
  return { path: file, ...found, notes: notesOn(file, found.env, settings()) };
}

function load(file: string): unknown {
  let source: string;
  try {
    source = readFileSync(file, 'utf8');
  } catch (cause) {
    throw invalid('CLOISTER_CONFIG', `the file ${file} cannot be read`, cause);
  }
  try {
    return parse(source);
  } catch (cause) {
    throw invalid('CLOISTER_CONFIG', `the file ${file} is no YAML`, cause);
  }
}

function flatten(document: unknown, file: string, settings: Settings): Pick<ConfigFile, 'env' | 'hasSections'> {
  const env: Record<string, string> = {};
  if (document === null || document === undefined) return { env, hasSections: false };
  if (!isMap(document)) throw invalid(file, 'it is not a map of settings');
  const put = (keys: readonly string[], value: unknown): void => {
    if (value === null) return;
    if (isMap(value)) {
      for (const [key, inner] of Object.entries(value)) put([...keys, key], inner);
      return;
    }
    const name = nameOf(keys, file, settings);
    if (env[name] !== undefined) throw invalid(file, `${keys.join('.')} sets ${name} a second time`);
    env[name] = textOf(value, keys, file);
  };
  const isSection = ([key]: readonly [string, unknown]) => AGENT_HTTP_SECTIONS.has(key);
  const all = Object.entries(document);
  for (const [key, value] of all.filter((entry) => !isSection(entry))) put([key], value);
  return { env, hasSections: all.some(isSection) };
}

/** `max_file_bytes`, or `max_file: {bytes: …}`; what begins with CLOISTER_ may be written without it. */
function nameOf(keys: readonly string[], file: string, settings: Settings): string {
  const name = keys.join('_').replaceAll('-', '_').toUpperCase();
  const isKnown = (one: string) => one !== NOT_IN_A_FILE && (settings.has(one) || isSecretFile(settings, one));
  const found = [name, `CLOISTER_${name}`].find(isKnown);
  if (found !== undefined) return found;
  const meant = nearest(
    name,
    [...settings.keys()].filter(isKnown).flatMap((one) => [one, one.replace(/^CLOISTER_/, '')]),
  );
  const hint = meant === undefined ? 'docs/configuration.md has all' : `did you mean "${meant.toLowerCase()}"?`;
  throw invalid(file, `there is no setting "${keys.join('.')}"; ${hint}`);
}

function textOf(value: unknown, keys: readonly string[], file: string): string {
  const isScalar = (one: unknown) => typeof one === 'string' || typeof one === 'number' || typeof one === 'boolean';
  if (isScalar(value)) return String(value);
  if (Array.isArray(value) && value.every(isScalar)) return value.join(',');
  throw invalid(file, `${keys.join('.')} is neither a text, a number, true or false, nor a list of them`);
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function notesOn(file: string, env: Readonly<Record<string, string>>, settings: Settings): readonly string[] {
  const secrets = Object.keys(env).filter((name) => settings.get(name)?.isSecret === true);
  const isOpen = (statSync(file).mode & 0o077) !== 0;
  return isOpen && secrets.length > 0
    ? [`${file} holds secrets (${secrets.join(', ')}) and others of this machine may read it: \`chmod 600 ${file}\``]
    : [];
}
