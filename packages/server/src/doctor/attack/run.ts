import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { Clock } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import { DOCTOR_INSTALLATION } from '../../core/doctor-installation.ts';
import type { EgressGateway, GatewayConnection } from '../../egress/gateway.ts';
import { SANDBOX_GATEWAY_DIRECTORY } from '../../harness/harness.ts';
import type { RuntimeDriver, SandboxIo, SandboxRef, SandboxSpec } from '../../runtime/driver.ts';
import { ensureSessionDirectories, removeSessionDirectories, type SessionDirectories } from '../../sandboxes/directories.ts';
import { ensureSocketDirectory } from '../../sandboxes/socket-directories.ts';
import { buildSpec } from '../../sandboxes/spec.ts';
import { parseTemplate } from '../../sandboxes/template.ts';
import { attackArchives } from './archives.ts';
import { attackEnded, attackProtocol, endlessProgram } from './ended.ts';
import { exceptionsOf } from './exceptions.ts';
import type { AttackInput, Outcome } from './kit.ts';
import { attackProgram, closingProgram, neighbourProgram } from './program.ts';
import { systemCalls } from './system-calls.ts';

export interface AttackDeps {
  readonly driver: RuntimeDriver;
  readonly gateway: EgressGateway;
  readonly clock: Clock;
  /** A folder of its own is made in it, and removed. */
  readonly dataDir: string;
  readonly image: string;
  readonly nodeId: string;
  /** Values that must not be found in a sandbox. */
  readonly secrets: readonly string[];
  /** Asked for by the environment, as an agent's would. */
  readonly runtimeClass?: string | undefined;
  /** How the directories of a session are held to a size; left out, nothing holds them. */
  readonly quota?: AttackQuota | undefined;
}

/** Makes directories as sessions get them where their size is enforced, of this size. */
export interface AttackQuota {
  readonly bytes: number;
  readonly files: number;
  open(place: string, session: string): Promise<SessionDirectories>;
  remove(place: string, session: string): Promise<void>;
}

export interface AttackResult {
  readonly id: string;
  readonly what: string;
  /** `known` got through and is on the list of what this runtime cannot refuse; `untried` could not be tried. */
  readonly state: 'refused' | 'open' | 'known' | 'untried';
  readonly how: string;
}

const STALE_MS = 10 * 60_000;
const LIMIT_MS = 120_000;
const NEIGHBOUR_PORT = 8799;
const FLOOD_MIB = 96;
const MEMORY = { text: '256m', bytes: 256 * 1024 ** 2 };
const PIDS = 64;
/** An OCI runtime that was asked for may need some of its own: the threads of gVisor count as the sandbox's. */
const PIDS_OF_CLASSES = 256;
/** What is filled of a workspace whose size nothing holds: little enough to do no harm. */
const UNHELD = { bytes: 32 * 1024 ** 2, files: 2000 };
/** What an engine may keep of the output. */
const KEPT_LOG_BYTES = 2 * 1024 ** 2;
/** What the server may hold of it. */
const HELD_LOG_BYTES = 72 * 1024 ** 2;

/**
 * Tries to get out of two sandboxes of this installation, made as agents get them. What it fills is inside the
 * sandbox's own limits; on the host it leaves nothing. Answers one line for each attack.
 */
export async function runAttack(deps: AttackDeps, onResult: (result: AttackResult) => void): Promise<readonly AttackResult[]> {
  const undo: (() => Promise<unknown>)[] = [];
  const results: AttackResult[] = [];
  const probe = await deps.driver.probe();
  const exceptions = exceptionsOf(deps.driver.name, probe.ok ? probe.version : '', {
    hasQuota: deps.quota !== undefined,
    runtimeClass: deps.runtimeClass,
  });
  const add = ({ id, what, isRefused, how }: Outcome) => {
    const known = exceptions.get(id);
    const state = isRefused ? 'refused' : known !== undefined ? 'known' : isRefused === null ? 'untried' : 'open';
    const result = { id, what, state, how: state === 'known' ? `${how}: ${known}` : how } as const;
    results.push(result);
    onResult(result);
  };
  try {
    await attack(deps, undo, add);
  } finally {
    for (const step of undo.reverse()) await step();
  }
  return results;
}

type Undo = (() => Promise<unknown>)[];
type Add = (outcome: Outcome) => void;

async function attack(deps: AttackDeps, undo: Undo, add: Add): Promise<void> {
  const { driver, clock } = deps;
  const timeout = new AbortController();
  const stopTimer = clock.after(LIMIT_MS, () =>
    timeout.abort(new PlatformError('sandbox_start_timeout', { detail: 'The attacks took too long.' })),
  );
  undo.push(async () => stopTimer());
  const { signal } = timeout;
  await removeStale(deps);
  const place = await mkdtemp(path.join(deps.dataDir, 'attack-'));
  undo.push(() => rm(place, { recursive: true, force: true }));
  const canary = await plantCanary(place);
  const host = await listenOnHost(undo);
  const neighbour = await openSandbox(deps, { place, undo, argv: ['node', '-e', neighbourProgram(NEIGHBOUR_PORT)], hosts: [], signal });
  const visits = watchNeighbour(neighbour.io);
  await visits.ready;
  const hosts = [`localhost:${host.port}`, `127.0.0.1:${host.port}`, '169.254.169.254:80', 'metadata.google.internal:80', '10.0.0.1:80'];
  const input: AttackInput = {
    hostPort: host.port,
    hostAddresses: addressesOfHost(),
    resolvers: await resolversOfHost(),
    neighbourPort: NEIGHBOUR_PORT,
    neighbourSocket: neighbour.socket,
    abstractSocket: host.abstractSocket,
    canary: canary.file,
    gatewaySocket: `${SANDBOX_GATEWAY_DIRECTORY}/gateway.sock`,
    systemCalls: systemCalls(process.pid),
    memoryBytes: MEMORY.bytes,
    pids: pidsOf(deps),
    tmpBytes: MEMORY.bytes / 4,
    workspaceBytes: deps.quota?.bytes ?? UNHELD.bytes,
    workspaceFiles: deps.quota?.files ?? UNHELD.files,
    floodMib: FLOOD_MIB,
  };
  const attackBy = (program: string) => openSandbox(deps, { place, undo, argv: ['node', '-e', program], hosts, signal });
  let attacker = await attackBy(attackProgram(input));
  let memory = watchMemory(attacker.io);
  let heard = await listenTo(attacker.io, add, signal);
  const whole = { isRefused: heard.isDone ? true : null, how: heard.isDone ? 'yes' : heard.end };
  add({ id: 'whole', what: 'the suite came to its end', ...whole });
  if (!heard.isDone) {
    // An attack ended its own sandbox: what was to come after it is tried in another.
    await driver.remove(attacker.ref);
    attacker = await attackBy(closingProgram(input));
    memory = watchMemory(attacker.io);
    heard = await listenTo(attacker.io, add, signal);
  }
  judge(heard, { host: host.visits(), neighbour: visits.count(), secrets: [...deps.secrets, canary.text] }, add);
  const kept = Buffer.byteLength(await driver.logs(attacker.ref, { tailLines: 100_000, signal }));
  const flood = `the engine kept ${Math.round(kept / 1024)} KiB of ${FLOOD_MIB} MiB`;
  add({ id: 'log-flood', what: 'output without end', isRefused: heard.isDone ? kept <= KEPT_LOG_BYTES : null, how: flood });
  const held = memory.most();
  const howHeld = `${Math.round(held / 1024 ** 2)} MiB more than before`;
  const isBounded = heard.isDone ? held <= HELD_LOG_BYTES : null;
  add({ id: 'log-memory', what: "the server's memory under output without end", isRefused: isBounded, how: howHeld });
  await driver.remove(attacker.ref);
  await attackEnded({ socket: attacker.socket, end: attacker.gateway.close, clock }, add);
  await attackArchives({ place: await mkdtemp(path.join(place, 'archives-')), canary }, add);
  const endless = await openSandbox(deps, { place, undo, argv: ['node', '-e', endlessProgram()], hosts: [], signal });
  await attackProtocol(endless.io, signal, add);
  await driver.remove(endless.ref);
  await removeDirectories(deps, place, attacker.session);
  const isWhole = (await readFile(canary.file, 'utf8').catch(() => '')) === canary.text;
  const how = isWhole ? 'removed with its symlinks, and nothing they lead to' : 'a file outside is gone';
  add({
    id: 'workspace-tricks',
    what: 'a workspace full of symlinks, pipes, deep folders and odd names, removed by the server',
    isRefused: isWhole,
    how,
  });
}

/** What an earlier attack left that was killed. */
async function removeStale({ driver, clock }: AttackDeps): Promise<void> {
  for (const { ref, createdAt } of await driver.list({ installation: DOCTOR_INSTALLATION }))
    if (createdAt < clock.now() - STALE_MS) await driver.remove(ref);
}

interface Opened {
  readonly ref: SandboxRef;
  readonly io: SandboxIo;
  readonly session: string;
  readonly socket: string;
  readonly gateway: GatewayConnection;
}

interface Opening {
  readonly place: string;
  readonly undo: Undo;
  readonly argv: readonly string[];
  /** Allowed by name; what they lead to must be refused by address. */
  readonly hosts: readonly string[];
  readonly signal: AbortSignal;
}

/** As agents get it: the same gateway, the same builder of the spec, the same driver. */
async function openSandbox(deps: AttackDeps, { place, undo, argv, hosts, signal }: Opening): Promise<Opened> {
  const { driver, nodeId, image, runtimeClass } = deps;
  const [sandbox, session] = [newId('sandbox'), newId('session')];
  const networking = { type: 'limited', allowed_hosts: [...hosts] };
  const environment = { name: 'attack', config: { type: 'container', memory: MEMORY.text, cpus: 1, pids: pidsOf(deps), networking } };
  const socketDirectory = await ensureSocketDirectory(place, sandbox, { installation: 'doctor', node: nodeId });
  undo.push(() => rm(socketDirectory, { recursive: true, force: true }));
  // After the sandbox has gone, since this is what was mounted into it.
  undo.push(() => removeDirectories(deps, place, session));
  const observer = { onStart: () => undefined, onEnd: () => undefined };
  const { network } = parseTemplate(environment);
  const gateway = await deps.gateway.open({
    sandboxId: sandbox,
    tenantId: 'doctor',
    sessionId: session,
    directory: socketDirectory,
    network,
    observer,
  });
  undo.push(() => gateway.close());
  const spec: SandboxSpec = buildSpec({
    labels: {
      installation: DOCTOR_INSTALLATION,
      node: nodeId,
      tenant: 'doctor',
      agent: 'doctor',
      session,
      sandbox,
      incarnation: newId('incarnation'),
    },
    environment,
    image,
    launch: { argv, env: {} },
    directories: await (deps.quota?.open ?? ensureSessionDirectories)(place, session),
    socketDirectory,
    runtimeClass,
  });
  const ref = await driver.create(spec, { signal });
  undo.push(() => driver.remove(ref));
  return { ref, io: await driver.start(ref, { signal }), session, socket: path.join(socketDirectory, 'gateway.sock'), gateway };
}

function pidsOf({ runtimeClass }: AttackDeps): number {
  return runtimeClass === undefined ? PIDS : PIDS_OF_CLASSES;
}

function removeDirectories({ quota }: AttackDeps, place: string, session: string): Promise<void> {
  return (quota?.remove ?? removeSessionDirectories)(place, session);
}

/** The file lies beside the workspaces, where the attacker's own user could read it if it saw it. */
async function plantCanary(place: string): Promise<{ readonly file: string; readonly text: string }> {
  const folder = path.join(place, 'outside');
  await mkdir(folder);
  const [file, text] = [path.join(folder, 'canary'), `canary-${newId('installation')}`];
  await writeFile(file, text, { mode: 0o644 });
  await chmod(folder, 0o755);
  return { file, text };
}

async function listenOnHost(
  undo: Undo,
): Promise<{ readonly port: number; readonly abstractSocket: string; readonly visits: () => number }> {
  let visits = 0;
  const abstractSocket = `cloister-doctor-${newId('installation')}`;
  const open = async (where: { port: number; host: string } | { path: string }): Promise<Server> => {
    const server = createServer((socket) => {
      visits += 1;
      socket.destroy();
    });
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(where, resolve));
    undo.push(() => new Promise((resolve) => server.close(resolve)));
    return server;
  };
  const address = (await open({ port: 0, host: '0.0.0.0' })).address();
  await open({ path: `\0${abstractSocket}` });
  return { port: typeof address === 'object' && address !== null ? address.port : 0, abstractSocket, visits: () => visits };
}

function addressesOfHost(): string[] {
  const all = Object.values(os.networkInterfaces()).flatMap((card) => card ?? []);
  return all
    .filter(({ internal, scopeid }) => !internal && !scopeid)
    .map(({ address }) => address)
    .slice(0, 16);
}

async function resolversOfHost(): Promise<string[]> {
  const text = await readFile('/etc/resolv.conf', 'utf8').catch(() => '');
  return [...text.matchAll(/^nameserver\s+([\d.a-f:]+)\s*$/gim)].map(([, address = '']) => address).slice(0, 4);
}

function watchNeighbour(io: SandboxIo): { readonly ready: Promise<void>; readonly count: () => number } {
  let count = 0;
  io.stderr.resume();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const lines = createInterface({ input: io.stdout });
  lines.on('line', (line) => {
    if (line === 'ready') resolve();
    if (line === 'visited') count += 1;
  });
  lines.once('close', () => reject(new PlatformError('sandbox_exited', { detail: 'The second sandbox ended before the attacks.' })));
  return { ready: promise, count: () => count };
}

/** How much more the process holds at most while the sandbox writes to stderr, of what is not yet collected too. */
function watchMemory(io: SandboxIo): { readonly most: () => number } {
  const now = () => {
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  let [first, most, bytes]: [number | undefined, number, number] = [undefined, 0, 0];
  io.stderr.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes < 1024 ** 2) return;
    bytes = 0;
    first ??= now();
    most = Math.max(most, now() - first);
  });
  return { most: () => most };
}

interface Heard {
  readonly isDone: boolean;
  readonly seen: string;
  readonly end: string;
}

/** The sandbox is hostile here too: a line counts only in the expected form, and a missing one is no success. */
async function listenTo(io: SandboxIo, add: Add, signal: AbortSignal): Promise<Heard> {
  const stop = () => void io.stdout.destroy(signal.reason instanceof Error ? signal.reason : undefined);
  signal.addEventListener('abort', stop, { once: true });
  let [isDone, seen, words] = [false, '', ''];
  io.stderr.on('data', (chunk: Buffer) => (words = `${words}${chunk.toString('latin1')}`.slice(0, 500)));
  io.stdin.on('error', () => undefined);
  for await (const line of linesOf(io.stdout)) {
    const said = JSON.parse(line) as Partial<Outcome> & { done?: boolean; seen?: string }; // our own program's
    if (said.done === true) isDone = true;
    else if (typeof said.seen === 'string') seen = said.seen;
    else if (said.id !== undefined && said.what !== undefined && said.isRefused !== undefined)
      add({ id: said.id, what: said.what, isRefused: said.isRefused, how: said.how ?? '' });
  }
  signal.removeEventListener('abort', stop);
  const { exitCode, signal: killed, isOutOfMemory } = await io.exited;
  const last = words
    .replace(/x{100,}/g, '')
    .trim()
    .split('\n')
    .slice(0, 4)
    .join(' ');
  return {
    isDone,
    seen,
    end: isOutOfMemory && !isDone ? 'the whole sandbox was killed for memory' : `${killed ?? `exit code ${exitCode}`} ${last}`.trim(),
  };
}

function linesOf(stream: Readable): AsyncIterable<string> {
  return createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY });
}

function judge(
  heard: Heard,
  seen: { readonly host: number; readonly neighbour: number; readonly secrets: readonly string[] },
  add: Add,
): void {
  const found = seen.secrets.filter((secret) => secret.length >= 6 && heard.seen.includes(secret)).length;
  add({
    id: 'secrets',
    what: "keys of the server in any process's variables and arguments",
    isRefused: heard.seen === '' ? null : found === 0,
    how: found === 0 ? `none of ${seen.secrets.length}` : `${found} found`,
  });
  add({
    id: 'visits',
    what: 'connections that the host and the other sandbox saw',
    isRefused: seen.host + seen.neighbour === 0,
    how: `${seen.host + seen.neighbour}`,
  });
}
