import type { Readable } from 'node:stream';
import { asJsonObject, type JsonObject, type JsonValue } from '../base/json.ts';
import { VERSION } from '../base/version.ts';
import type { Engine } from '../runtime/docker/engine.ts';
import type { EngineAnswer, EngineRequest } from '../runtime/docker/transport.ts';
import { BROKER_COMPONENT } from '../runtime/docker/wire.ts';
import { checkContainer, imageName } from './containers.ts';
import { firstDifference, objectOf, textOf, textsOf } from './fields.ts';
import { eventFilters, ownFilters } from './filters.ts';
import type { OwnInstallation } from './installation.ts';
import { recheckMounts } from './mounts.ts';
import { checkNetwork } from './networks.ts';
import { type KnownIds, lookAtContainer, lookAtNetwork, type OwnershipDeps, requireOwn } from './ownership.ts';
import { type MountDeps, refusal } from './policy.ts';

export interface CallDeps extends MountDeps, OwnershipDeps {
  readonly engine: Engine;
  readonly own: OwnInstallation;
  readonly known: KnownIds;
}

/** One call, taken apart. Nothing of it but what a handler picks goes on to the engine. */
export interface Call {
  /** What the parentheses of the pattern hold. */
  readonly parts: readonly string[];
  readonly query: Readonly<Record<string, string>>;
  readonly json: JsonValue | undefined;
  readonly upload: Readable | undefined;
}

/** What becomes of a call that is allowed. */
export type Outcome =
  | { readonly type: 'forward'; readonly request: EngineRequest; readonly isKept?: boolean }
  | { readonly type: 'hijack'; readonly request: EngineRequest }
  | {
      readonly type: 'answer';
      readonly status: number;
      readonly body: JsonValue | undefined;
      readonly headers?: Readonly<Record<string, string>>;
    };

export interface Rule {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: RegExp;
  /** The query's names, each with what it may say. */
  readonly query?: Readonly<Record<string, RegExp>>;
  /** `raw` is a call for the raw connection; `tar` has a body that is streamed on; of what is `refused` nothing is read. */
  readonly kind?: 'json' | 'raw' | 'raw-json' | 'tar' | 'refused';
  readonly run: (deps: CallDeps, call: Call) => Promise<Outcome>;
}

const ONE = /^1$/;
const FLAG = /^[01]$/;
const NUMBER = /^\d{1,10}$/;
const TIME = /^\d{1,12}(\.\d{1,9})?$/;
const TEXT = /^[\s\S]{1,8192}$/;
const REFERENCE = '([A-Za-z0-9][A-Za-z0-9_.-]{0,127})';
const at = (tail: string) => new RegExp(`^/containers/${REFERENCE}${tail}$`);

/** Every call there is: the driver's, and no other. */
export const RULES: readonly Rule[] = [
  { method: 'GET', path: /^\/_ping$/, run: ping },
  { method: 'GET', path: /^\/version$/, run: version },
  { method: 'GET', path: /^\/info$/, run: info },
  { method: 'GET', path: /^\/images\/(.{1,600})\/json$/, run: image },
  { method: 'POST', path: /^\/containers\/create$/, query: { name: /^[A-Za-z0-9_.-]{1,128}$/ }, kind: 'json', run: create },
  { method: 'GET', path: /^\/containers\/json$/, query: { all: FLAG, filters: TEXT }, run: list('/containers/json') },
  { method: 'GET', path: /^\/events$/, query: { since: TIME, until: TIME, filters: TEXT }, run: events },
  { method: 'GET', path: at('/json'), run: inspect },
  {
    method: 'GET',
    path: at('/logs'),
    query: { stdout: FLAG, stderr: FLAG, timestamps: FLAG, follow: FLAG, tail: NUMBER },
    run: on('GET', '/logs'),
  },
  { method: 'GET', path: at('/stats'), query: { stream: FLAG }, run: on('GET', '/stats') },
  { method: 'POST', path: at('/start'), run: start },
  { method: 'POST', path: at('/stop'), query: { t: NUMBER }, run: on('POST', '/stop') },
  { method: 'POST', path: at('/kill'), run: on('POST', '/kill') },
  { method: 'POST', path: at('/pause'), run: on('POST', '/pause') },
  { method: 'POST', path: at('/unpause'), run: on('POST', '/unpause') },
  { method: 'POST', path: at('/wait'), query: { condition: /^(next-exit|not-running)$/ }, run: on('POST', '/wait') },
  { method: 'POST', path: at('/attach'), query: { stream: ONE, stdin: ONE, stdout: ONE, stderr: ONE }, kind: 'raw', run: attach },
  { method: 'POST', path: at('/exec'), kind: 'json', run: exec },
  { method: 'DELETE', path: at(''), query: { force: ONE, v: ONE, timeout: NUMBER }, run: on('DELETE', '') },
  { method: 'POST', path: /^\/exec\/([0-9a-f]{64})\/start$/, kind: 'raw-json', run: startExec },
  { method: 'GET', path: /^\/exec\/([0-9a-f]{64})\/json$/, run: inspectExec },
  { method: 'POST', path: /^\/build$/, kind: 'refused', run: noBuild },
  { method: 'GET', path: /^\/networks$/, query: { filters: TEXT }, run: list('/networks') },
  { method: 'GET', path: /^\/networks\/(cloister-[A-Za-z0-9_.-]{1,120})$/, run: inspectNetwork },
  { method: 'POST', path: /^\/networks\/create$/, kind: 'json', run: createNetwork },
  { method: 'DELETE', path: /^\/networks\/(cloister-[A-Za-z0-9_.-]{1,120})$/, run: removeNetwork },
];

async function noBuild(): Promise<Outcome> {
  throw refusal('it builds no images. Run `npm run image -- --server` on the host, or start the broker with --allow-build');
}

async function ping({ engine }: CallDeps): Promise<Outcome> {
  const answer = await engine.call({ method: 'GET', path: '/_ping' });
  const { apiVersion } = await engine.address();
  const headers = { 'api-version': apiVersion, server: 'Docker/brokered', 'cache-control': 'no-store' };
  return { type: 'answer', status: answer.status, body: answer.status === 200 ? 'OK' : { message: answer.message }, headers };
}

/** Tells, beside what the engine says of itself, that the broker is there. */
async function version({ engine }: CallDeps): Promise<Outcome> {
  const answer = await engine.call({ method: 'GET', path: '/version' });
  if (answer.status !== 200) return passed(answer);
  const { Platform, Version, ApiVersion, Components } = asJsonObject(answer.body);
  const others = Array.isArray(Components) ? Components : [];
  const components = [...others.map(nameAndVersion), { Name: BROKER_COMPONENT, Version: VERSION }];
  return answered({ Platform, Version, ApiVersion, Components: components });
}

function nameAndVersion(component: JsonValue): JsonObject {
  const { Name = null, Version = null } = asJsonObject(component);
  return { Name, Version };
}

const INFO = [
  'ID',
  'Name',
  'OSType',
  'Architecture',
  'CgroupVersion',
  'CgroupDriver',
  'MemoryLimit',
  'SwapLimit',
  'PidsLimit',
  'CpuCfsQuota',
  'CpuCfsPeriod',
  'SecurityOptions',
  'DefaultRuntime',
  'ServerVersion',
] as const;

/** Of the host only what the driver asks for; of its runtimes the names of those that may be used. */
async function info({ engine, policy }: CallDeps): Promise<Outcome> {
  const answer = await engine.call({ method: 'GET', path: '/info' });
  if (answer.status !== 200) return passed(answer);
  const all = asJsonObject(answer.body);
  const runtimes = Object.keys(asJsonObject(all.Runtimes)).filter((name) => policy.runtimes.includes(name));
  return answered({
    ...Object.fromEntries(INFO.map((name) => [name, all[name]])),
    Runtimes: Object.fromEntries(runtimes.map((name) => [name, {}])),
  });
}

async function image(_deps: CallDeps, { parts: [name = ''] }: Call): Promise<Outcome> {
  const plain = imageName(name.split('/').map(decoded).join('/'));
  const path = `/images/${plain.split('/').map(encodeURIComponent).join('/')}/json`;
  return { type: 'forward', request: { method: 'GET', path } };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw refusal('the name of the image is none');
  }
}

async function create(deps: CallDeps, { query, json }: Call): Promise<Outcome> {
  const { apiVersion } = await deps.engine.address();
  const look = (id: string) => lookAtContainer(deps, id);
  const body = await checkContainer({ ...deps, apiVersion, look }, query.name, objectOf(json, 'the container'));
  // Goes through to its end: the engine might make the container after we stopped looking.
  return {
    type: 'forward',
    request: { method: 'POST', path: '/containers/create', query: { name: query.name }, json: body },
    isKept: true,
  };
}

function list(path: string): Rule['run'] {
  return async ({ own }, { query }) => {
    const filters = ownFilters(query.filters, own);
    return { type: 'forward', request: { method: 'GET', path, query: { all: query.all, filters } } };
  };
}

async function events({ own }: CallDeps, { query }: Call): Promise<Outcome> {
  const filters = eventFilters(query.filters, own);
  return { type: 'forward', request: { method: 'GET', path: '/events', query: { since: query.since, until: query.until, filters } } };
}

/** Everything of an own container. Of the one that has the data directory mounted, the server's, only its mounts. */
async function inspect(deps: CallDeps, { parts: [reference = ''] }: Call): Promise<Outcome> {
  const looked = await lookAtContainer(deps, reference);
  if (looked.type === 'answer') return passed(looked.answer);
  if (looked.type === 'own') return answered(looked.details);
  const { Id, Mounts } = looked.details;
  const data = await deps.hostPaths.onHost(deps.policy.dataDir);
  const mounts = Array.isArray(Mounts) ? Mounts.map(asJsonObject) : [];
  if (!mounts.some(({ Source: source }) => source === data)) throw refusal('the container does not belong to this installation');
  const shown = mounts.map(({ Type = null, Source = null, Destination = null, RW = null }) => ({ Type, Source, Destination, RW }));
  return answered({ Id, Mounts: shown });
}

/** A call on an own container, which goes on by its full id. */
function on(method: 'GET' | 'POST' | 'DELETE', tail: string): Rule['run'] {
  return async (deps, { parts: [reference = ''], query }) => {
    const found = await requireOwn(deps, reference);
    if ('answer' in found) return passed(found.answer);
    const request = { method, path: `/containers/${found.id}${tail}`, query, deadlineMs: deadlineOf(query) };
    return { type: 'forward', request, isKept: method === 'DELETE' };
  };
}

const DEADLINE_MS = 60_000;

function deadlineOf({ t }: Call['query']): number {
  return DEADLINE_MS + Number(t ?? 0) * 1000;
}

/** The mounts are looked at once more: it is now that the engine follows their paths. */
async function start(deps: CallDeps, { parts: [reference = ''] }: Call): Promise<Outcome> {
  const looked = await lookAtContainer(deps, reference);
  if (looked.type === 'answer') return passed(looked.answer);
  if (looked.type === 'foreign') throw refusal('the container does not belong to this installation');
  await recheckMounts(deps, looked.details);
  return { type: 'forward', request: { method: 'POST', path: `/containers/${looked.id}/start`, deadlineMs: DEADLINE_MS } };
}

async function attach(deps: CallDeps, { parts: [reference = ''], query }: Call): Promise<Outcome> {
  const found = await requireOwn(deps, reference);
  if ('answer' in found) return passed(found.answer);
  return { type: 'hijack', request: { method: 'POST', path: `/containers/${found.id}/attach`, query } };
}

async function exec(deps: CallDeps, { parts: [reference = ''], json }: Call): Promise<Outcome> {
  const sent = objectOf(json, 'the command');
  const expected: JsonObject = {
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    Tty: false,
    Cmd: textsOf(sent.Cmd, 'Cmd'),
    Env: textsOf(sent.Env, 'Env'),
    ...(sent.WorkingDir === undefined ? {} : { WorkingDir: textOf(sent.WorkingDir, 'WorkingDir') }),
  };
  const difference = firstDifference(sent, expected);
  if (difference !== undefined) throw refusal(`the command's ${difference} is not what Cloister's commands have`);
  const found = await requireOwn(deps, reference);
  if ('answer' in found) return passed(found.answer);
  return { type: 'forward', request: { method: 'POST', path: `/containers/${found.id}/exec`, json: expected } };
}

/** Whose command it is, the engine tells. */
async function ownExec(deps: CallDeps, id: string): Promise<EngineAnswer> {
  const answer = await deps.engine.call({ method: 'GET', path: `/exec/${id}/json` });
  if (answer.status !== 200) return answer;
  const found = await requireOwn(deps, containerId(answer.body));
  return 'answer' in found ? found.answer : answer;
}

function containerId(body: JsonValue | undefined): string {
  const { ContainerID: id } = asJsonObject(body);
  if (typeof id !== 'string' || !/^[0-9a-f]{64}$/.test(id)) throw refusal('the command belongs to no container');
  return id;
}

async function startExec(deps: CallDeps, { parts: [id = ''], json }: Call): Promise<Outcome> {
  const expected = { Detach: false, Tty: false };
  if (firstDifference(json, expected) !== undefined) throw refusal('a command is started attached and without a terminal');
  const answer = await ownExec(deps, id);
  if (answer.status !== 200) return passed(answer);
  return { type: 'hijack', request: { method: 'POST', path: `/exec/${id}/start`, json: expected } };
}

async function inspectExec(deps: CallDeps, { parts: [id = ''] }: Call): Promise<Outcome> {
  return passed(await ownExec(deps, id));
}

async function inspectNetwork(deps: CallDeps, { parts: [name = ''] }: Call): Promise<Outcome> {
  const looked = await lookAtNetwork(deps, name);
  if (looked.type === 'foreign') throw refusal('the network does not belong to this installation');
  return looked.type === 'answer' ? passed(looked.answer) : answered(looked.details);
}

async function createNetwork({ own }: CallDeps, { json }: Call): Promise<Outcome> {
  const body = checkNetwork(own, objectOf(json, 'the network'));
  return { type: 'forward', request: { method: 'POST', path: '/networks/create', json: body }, isKept: true };
}

async function removeNetwork(deps: CallDeps, { parts: [name = ''] }: Call): Promise<Outcome> {
  const looked = await lookAtNetwork(deps, name);
  if (looked.type === 'answer') return passed(looked.answer);
  if (looked.type === 'foreign') throw refusal('the network does not belong to this installation');
  return { type: 'forward', request: { method: 'DELETE', path: `/networks/${looked.id}` }, isKept: true };
}

function answered(body: Readonly<Record<string, JsonValue | undefined>>): Outcome {
  return { type: 'answer', status: 200, body: JSON.parse(JSON.stringify(body)) as JsonValue }; // without what is undefined
}

function passed(answer: EngineAnswer): Outcome {
  return { type: 'answer', status: answer.status, body: answer.body ?? { message: answer.message } };
}
