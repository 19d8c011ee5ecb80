import { enabledAdapters } from './adapters.ts';
import { agentHttpAliases } from './agent-http.ts';
import { takeAliases } from './aliases.ts';
import { type ConfigFile, readConfigFile } from './file.ts';
import { nearest } from './nearest.ts';
import { noclawNotes } from './noclaw.ts';
import { isSecretFile, type Settings } from './schema.ts';
import { type Environment, peek } from './values.ts';

/** Where a setting's value comes from. */
export type Origin =
  | { readonly from: 'environment' | 'default' }
  /** The variable NAME_FILE, or the other system's variable, or the path of config.yaml. */
  | { readonly from: 'secret file' | 'alias' | 'config.yaml'; readonly name: string };

/** The environment with all that stands below it. */
export interface Settled {
  readonly env: Environment;
  readonly originOf: (name: string) => Origin;
  /** What is to be told at the start. */
  readonly notes: readonly string[];
  readonly file: ConfigFile | undefined;
}

/** The environment goes before the names of other systems, they before config.yaml, and that before the defaults. */
export function settle(given: Environment, settings: () => Settings): Settled {
  const file = readConfigFile(given, settings);
  const said = Object.fromEntries(Object.entries(given).filter(([name]) => peek(given, name) !== undefined));
  const taken = takeAliases(said);
  const above = { ...taken.env, ...said };
  const inFile = below(file, above);
  const isServed = enabledAdapters({ ...inFile, ...above }).has('claude-agent-http');
  const theirs = isServed ? agentHttpAliases({ ...(file === undefined ? {} : ownFile(file, above)), ...above }, inFile) : undefined;
  const env = { ...inFile, ...theirs?.env, ...above };
  const isNoclaw = enabledAdapters(env).has('noclaw');
  return {
    env,
    file,
    originOf: (name) => originOf(name, { said, taken: taken.from, theirs: theirs?.from, file: inFile, path: file?.path }),
    notes: [
      ...(file?.notes ?? []),
      ...taken.notes,
      ...(theirs?.notes ?? []),
      ...(isNoclaw ? noclawNotes(said) : []),
      ...(file?.hasSections === true && !isServed
        ? [`${file.path}: its sections are for claude-agent-http, which ADAPTERS leaves out`]
        : []),
      ...unknownNames(said, settings),
    ],
  };
}

/** Of the file what nothing above it says; a secret and its file are one setting. */
function below(file: ConfigFile | undefined, above: Environment): Readonly<Record<string, string>> {
  if (file === undefined) return {};
  const isSaid = (name: string) => [name, `${name}_FILE`, name.replace(/_FILE$/, '')].some((one) => peek(above, one) !== undefined);
  const own = Object.entries(file.env).filter(([name]) => !isSaid(name));
  return { ...Object.fromEntries(own), ...ownFile(file, above) };
}

/** Sections of Claude Agent HTTP may stand in the same file. */
function ownFile(file: ConfigFile, above: Environment): Readonly<Record<string, string>> {
  const isNamed = peek(above, 'CLAUDE_AGENT_CONFIG_FILE') ?? peek(above, 'HOST_CONFIG_FILE');
  return file.hasSections && isNamed === undefined
    ? { CLOISTER_CONFIG: file.path, CLAUDE_AGENT_CONFIG_FILE: file.path }
    : { CLOISTER_CONFIG: file.path };
}

interface Layers {
  readonly said: Environment;
  readonly taken: ReadonlyMap<string, string>;
  readonly theirs: ReadonlyMap<string, string> | undefined;
  readonly file: Environment;
  readonly path: string | undefined;
}

function originOf(name: string, { said, taken, theirs, file, path = '' }: Layers): Origin {
  if (said[name] !== undefined) return { from: 'environment' };
  const alias = taken.get(name) ?? theirs?.get(name);
  const fileOf = `${name}_FILE`;
  if (said[fileOf] !== undefined) return { from: 'secret file', name: fileOf };
  if (alias !== undefined) return { from: 'alias', name: alias };
  return file[name] !== undefined || file[fileOf] !== undefined ? { from: 'config.yaml', name: path } : { from: 'default' };
}

/** Of Compose, the start script and the images; they may come along in an `env_file`. */
const OF_THE_DEPLOYMENT = new Set([
  'CLOISTER_BIND',
  'CLOISTER_DATA',
  'CLOISTER_DOMAIN',
  'CLOISTER_GID',
  'CLOISTER_IMAGE',
  'CLOISTER_MODE',
  'CLOISTER_PORT',
  'CLOISTER_POSTGRES_DATA',
  'CLOISTER_SECRETS_DIR',
  'CLOISTER_TLS_DIR',
  'CLOISTER_UID',
  'CLOISTER_UPSTREAM',
]);

function unknownNames(said: Environment, settings: () => Settings): readonly string[] {
  const suspects = Object.keys(said).filter(
    (name) => name.startsWith('CLOISTER_') && !name.startsWith('CLOISTER_TEST_') && !OF_THE_DEPLOYMENT.has(name),
  );
  if (suspects.length === 0) return [];
  const known = settings();
  return suspects
    .filter((name) => !known.has(name) && !isSecretFile(known, name))
    .map((name) => {
      const meant = nearest(name, known.keys());
      return `there is no setting ${name}${meant === undefined ? '; docs/configuration.md has all' : `: did you mean ${meant}?`}`;
    });
}
