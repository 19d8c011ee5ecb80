import { PlatformError } from '../../base/errors.ts';
import { asJsonObject, isJsonObject, type JsonObject, type JsonValue } from '../../base/json.ts';

/**
 * What we read of the engine's answers. A field we need and do not get throws here and nowhere else; fields
 * that only some engines send have a default.
 */
export type Body = JsonValue | undefined;
export type Labels = Readonly<Record<string, string>>;

export function parseId(body: Body): string {
  return text(body, 'Id');
}

export interface ContainerDetails {
  readonly id: string;
  readonly createdAt: number;
  readonly labels: Labels;
  /** The engine's own word. */
  readonly status: string;
  readonly isRunning: boolean;
  readonly exitCode: number;
  readonly isOutOfMemory: boolean;
}

export function parseContainer(body: Body): ContainerDetails {
  const state = field(body, 'State');
  return {
    id: text(body, 'Id'),
    createdAt: Date.parse(text(body, 'Created')),
    labels: labels(field(body, 'Config')),
    status: text(state, 'Status'),
    isRunning: field(state, 'Running') === true,
    exitCode: number(state, 'ExitCode'),
    isOutOfMemory: field(state, 'OOMKilled') === true,
  };
}

export interface ListedContainer {
  readonly id: string;
  readonly createdAt: number;
  readonly labels: Labels;
  readonly status: string;
  /** Empty where the engine does not tell. */
  readonly networkMode: string;
}

export function parseContainers(body: Body): readonly ListedContainer[] {
  if (!Array.isArray(body)) throw misunderstood('a list of containers');
  return body.map((item: JsonValue) => ({
    id: text(item, 'Id'),
    createdAt: number(item, 'Created') * 1000,
    labels: labels(item),
    status: text(item, 'State'),
    networkMode: word(field(field(item, 'HostConfig'), 'NetworkMode')),
  }));
}

/** Undefined for a line that is no end, such as an error. */
export function parseWait(line: JsonValue): number | undefined {
  const code = field(line, 'StatusCode');
  return typeof code === 'number' ? code : undefined;
}

/** The exit code; undefined while the command runs. Null is what a command without one has: it was killed. */
export function parseExec(body: Body): number | null | undefined {
  if (field(body, 'Running') === true) return undefined;
  const code = field(body, 'ExitCode');
  return typeof code === 'number' ? code : null;
}

export interface EngineEvent {
  readonly action: string;
  readonly id: string;
  readonly attributes: Labels;
  readonly timeNano: number;
}

export function parseEvent(line: JsonValue): EngineEvent | undefined {
  const actor = field(line, 'Actor');
  const [action, id, time] = [field(line, 'Action'), field(actor, 'ID'), field(line, 'timeNano')];
  if (typeof action !== 'string' || typeof id !== 'string') return undefined;
  return { action, id, attributes: strings(field(actor, 'Attributes')), timeNano: typeof time === 'number' ? time : 0 };
}

export interface EngineDetails {
  readonly name: string;
  readonly version: string;
  readonly os: string;
  /** What of the profile the engine says that it cannot enforce. */
  readonly missing: readonly string[];
}

export function parseEngine(version: Body, info: Body): EngineDetails {
  const limits = { MemoryLimit: 'memory limits', PidsLimit: 'process limits', CpuCfsQuota: 'CPU limits' };
  const missing = Object.entries(limits).flatMap(([key, what]) => (field(info, key) === false ? [what] : []));
  const security = field(info, 'SecurityOptions');
  if (Array.isArray(security) && !security.some((option) => String(option).includes('seccomp'))) missing.push('seccomp filters');
  const [name, os] = [field(field(version, 'Platform'), 'Name'), field(info, 'OSType')];
  return {
    name: typeof name === 'string' && name !== '' ? name : 'Container engine',
    version: text(version, 'Version'),
    os: typeof os === 'string' ? os : 'linux',
    missing,
  };
}

/** By this component's name the socket broker tells that it stands in between. */
export const BROKER_COMPONENT = 'Cloister socket broker';

export function isBrokered(version: Body): boolean {
  const components = field(version, 'Components');
  return Array.isArray(components) && components.some((one: JsonValue) => field(one, 'Name') === BROKER_COMPONENT);
}

/** The container whose network it is in; undefined for a network of its own, or none. */
export function parseNetworkHolder(body: Body): string | undefined {
  const mode = field(field(body, 'HostConfig'), 'NetworkMode');
  return typeof mode === 'string' && mode.startsWith('container:') ? mode.slice('container:'.length) : undefined;
}

/** What a container is made of, as the engine would be told it again. */
export function parseMaking(body: Body): { readonly config: JsonObject; readonly hostConfig: JsonObject } {
  const [config, hostConfig] = [field(body, 'Config'), field(body, 'HostConfig')];
  if (!isJsonObject(config) || !isJsonObject(hostConfig)) throw misunderstood('Config and HostConfig');
  return { config, hostConfig };
}

export interface EngineDefaults {
  /** The OCI runtime of containers that name none. */
  readonly runtime: string;
  /** Whether users in containers are not those of the host. */
  readonly mapsUsers: boolean;
}

export function parseDefaults(info: Body): EngineDefaults {
  const [runtime, security] = [field(info, 'DefaultRuntime'), field(info, 'SecurityOptions')];
  const options = Array.isArray(security) ? security.map(String) : [];
  return {
    runtime: typeof runtime === 'string' ? runtime : '',
    mapsUsers: options.some((option) => /^name=(userns|rootless)\b/.test(option)),
  };
}

export function parseRuntimeClasses(info: Body): readonly string[] {
  return Object.keys(asJsonObject(field(info, 'Runtimes'))).sort();
}

export interface ImageDetails {
  readonly id: string;
  readonly labels: Labels;
}

export function parseImage(body: Body): ImageDetails {
  return { id: text(body, 'Id'), labels: labels(field(body, 'Config')) };
}

export function parseImages(body: Body): readonly { readonly id: string; readonly createdAt: number }[] {
  if (!Array.isArray(body)) throw misunderstood('a list of images');
  return body.map((item: JsonValue) => ({ id: text(item, 'Id'), createdAt: number(item, 'Created') * 1000 }));
}

export interface BuildLine {
  readonly output: string;
  readonly error: string | undefined;
}

export function parseBuildLine(line: JsonValue): BuildLine {
  const { stream, id, status, error } = asJsonObject(line);
  const output = typeof stream === 'string' ? stream : [id, status].filter((part) => typeof part === 'string').join(' ');
  return { output, error: typeof error === 'string' ? error : undefined };
}

function field(value: Body, name: string): Body {
  return isJsonObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

function text(value: Body, name: string): string {
  const found = field(value, name);
  if (typeof found !== 'string' || found === '') throw misunderstood(name);
  return found;
}

function word(value: Body): string {
  return typeof value === 'string' ? value : '';
}

function number(value: Body, name: string): number {
  const found = field(value, name);
  if (typeof found !== 'number') throw misunderstood(name);
  return found;
}

function labels(value: Body): Labels {
  return strings(field(value, 'Labels'));
}

function strings(value: Body): Labels {
  const object: JsonObject = asJsonObject(value);
  return Object.fromEntries(Object.entries(object).flatMap(([name, item]) => (typeof item === 'string' ? [[name, item]] : [])));
}

function misunderstood(what: string): PlatformError {
  const detail = "The container engine's answer was not understood. Is it a Docker Engine of version 20.10 or newer?";
  return new PlatformError('runtime_unreachable', { detail, cause: new Error(`engine answer without ${what}`) });
}
