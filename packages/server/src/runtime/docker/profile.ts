import { createHash } from 'node:crypto';
import { invariant } from '../../base/errors.ts';
import type { SandboxLabels, SandboxRef, SandboxSpec } from '../driver.ts';
import { type EngineQuirks, QUIRKS } from './quirks.ts';

/** In what the profile depends on who the engine is. */
export interface EngineTraits {
  readonly quirks: EngineQuirks;
  /** Our own filter, for an engine whose default lets too much through. */
  readonly seccompPath?: string | undefined;
}

const DOCKER: EngineTraits = { quirks: QUIRKS.docker };

/**
 * The hardened profile: everything a sandbox gets is named here, and nothing a caller says can widen it.
 * No network but its own loopback, no capability, no way to gain any, the engine's default seccomp filter,
 * a read-only root, one sized tmpfs, an unprivileged user, and limits on memory, CPU, processes and logs.
 * With a holder, the network without a card is that container's, which nobody else has; see `holders.ts`.
 */
export function containerBody(spec: SandboxSpec, apiVersion: string, traits: EngineTraits = DOCKER, holder?: string): object {
  invariant(spec.uid > 0 && spec.gid > 0, 'a sandbox never runs as root');
  invariant(spec.argv.length > 0, 'a sandbox runs a program');
  return {
    Image: spec.image,
    // The whole command stands in Entrypoint, so that the image's own entry point and command have no part in it.
    Entrypoint: spec.argv,
    Env: Object.entries(spec.env).map(([name, value]) => `${name}=${value}`),
    WorkingDir: spec.cwd,
    User: `${spec.uid}:${spec.gid}`,
    // Comes with the network, so a holder has the same.
    ...(holder === undefined ? { Hostname: HOSTNAME } : {}),
    Labels: containerLabels(spec),
    Healthcheck: { Test: ['NONE'] },
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    OpenStdin: true,
    // Our end of stdin going away, be it by a crash, is the program's end of input.
    StdinOnce: true,
    Tty: false,
    StopSignal: 'SIGTERM',
    StopTimeout: 10,
    HostConfig: { ...hostConfig(spec, apiVersion, traits), ...(holder === undefined ? {} : { NetworkMode: `container:${holder}` }) },
  };
}

export const HOSTNAME = 'sandbox';

type Limited = Pick<SandboxSpec, 'memoryBytes' | 'cpus' | 'pids' | 'tmpBytes' | 'mounts' | 'runtimeClass'>;

/** What holds any container of ours, whatever it is for. */
export function hostConfig(spec: Limited, apiVersion: string, { quirks, seccompPath }: EngineTraits = DOCKER): object {
  return {
    NetworkMode: 'none',
    CapDrop: ['ALL'],
    Privileged: false,
    SecurityOpt: ['no-new-privileges:true', ...(seccompPath === undefined ? [] : [`seccomp=${seccompPath}`])],
    ReadonlyRootfs: true,
    // Agents run what they write to /tmp (scripts, compiled tests), so exec is allowed: an agent has an interpreter anyway.
    Tmpfs: {
      ...quirks.closedTmpfs,
      '/tmp': `rw,exec,nosuid,nodev,size=${spec.tmpBytes},${quirks.takesInodeLimit ? `nr_inodes=${tmpInodes(spec.tmpBytes)},` : ''}mode=1777`,
    },
    Mounts: spec.mounts.map((mount) => ({
      Type: 'bind',
      Source: mount.hostPath,
      Target: mount.path,
      ReadOnly: mount.isReadOnly,
      BindOptions: { Propagation: ENGINE_VOLUME.test(mount.hostPath) ? 'rslave' : 'rprivate' },
    })),
    Init: true,
    ...(spec.runtimeClass === undefined ? {} : { Runtime: spec.runtimeClass }),
    IpcMode: 'private',
    ...(supportsCgroupNamespace(apiVersion) ? { CgroupnsMode: 'private' } : {}),
    Memory: spec.memoryBytes,
    // Equal to Memory: no swap, so the limit is the limit.
    MemorySwap: spec.memoryBytes,
    NanoCpus: Math.round(spec.cpus * 1e9),
    PidsLimit: spec.pids,
    // /dev/shm is memory too; the default of 64 MiB would be the whole of a small sandbox.
    ShmSize: Math.min(spec.tmpBytes, 64 * 1024 * 1024),
    Ulimits: [{ Name: 'nofile', Soft: 16_384, Hard: 16_384 }, { Name: 'core', Soft: 0, Hard: 0 }, ...quirks.ulimits],
    RestartPolicy: { Name: 'no' },
    AutoRemove: false,
    // stdout carries the protocol, so little of it is kept: enough for the last words of a sandbox that failed.
    LogConfig: { Type: 'json-file', Config: { 'max-size': '512k', 'max-file': '2' } },
  };
}

/** Of what lies in a volume, the engine refuses a mount that keeps hold of what it itself unmounts in its own directory. */
const ENGINE_VOLUME = /\/volumes\/[^/]+\/_data(\/|$)/;

/** One file for each page of it: else its empty files would be bounded by nothing of its own. */
function tmpInodes(tmpBytes: number): number {
  return Math.max(1024, Math.floor(tmpBytes / 4096));
}

function supportsCgroupNamespace(apiVersion: string): boolean {
  return Number(apiVersion.split('.')[1]) >= 41;
}

export const INSTALLATION_LABEL = 'cloister.installation';
export const NODE_LABEL = 'cloister.node';
/** Tells an incarnation's first creation from its repetition. */
export const SPEC_LABEL = 'cloister.spec';
const LABELS = {
  installation: INSTALLATION_LABEL,
  node: NODE_LABEL,
  tenant: 'cloister.tenant',
  agent: 'cloister.agent',
  session: 'cloister.session',
  sandbox: 'cloister.sandbox',
  incarnation: 'cloister.incarnation',
} as const satisfies Record<keyof SandboxLabels, string>;

type EngineLabels = Readonly<Record<string, string>> | null | undefined;

function containerLabels(spec: SandboxSpec): Record<string, string> {
  const labels: Record<string, string> = { [SPEC_LABEL]: specHash(spec) };
  for (const [key, name] of Object.entries(LABELS)) labels[name] = spec.labels[key as keyof SandboxLabels]; // keys of LABELS by its type
  return labels;
}

/** Reads our labels back; undefined when one is missing, which means that the object is not one of ours. */
export function parseLabels(labels: EngineLabels): SandboxLabels | undefined {
  const { installation, node, tenant, agent, session, sandbox, incarnation } = LABELS;
  const read = (name: string) => labels?.[name];
  const found = {
    installation: read(installation),
    // Those of the first version have none.
    node: read(node) ?? '',
    tenant: read(tenant),
    agent: read(agent),
    session: read(session),
    sandbox: read(sandbox),
    incarnation: read(incarnation),
  };
  return isComplete(found) ? found : undefined;
}

function isComplete(labels: { readonly [K in keyof SandboxLabels]: string | undefined }): labels is SandboxLabels {
  return Object.values(labels).every((value) => value !== undefined);
}

export function hasSpec(labels: EngineLabels, spec: SandboxSpec): boolean {
  return labels?.[SPEC_LABEL] === specHash(spec);
}

/** The handle is the container's name, which holds also for one that had to be made once more before it ran. */
export function containerRef(labels: SandboxLabels): SandboxRef {
  return { sandbox: labels.sandbox, incarnation: labels.incarnation, handle: containerName(labels) };
}

/** The same for the same incarnation of the same installation, so a repeated create meets the first one's container. */
export function containerName({ installation, incarnation }: SandboxLabels): string {
  const readable = incarnation.replace(/[^a-zA-Z0-9_.-]/g, '-').slice(0, 60);
  return `cloister-${readable}-${sha256(`${installation}\n${incarnation}`).slice(0, 12)}`;
}

function specHash(spec: SandboxSpec): string {
  return sha256(
    JSON.stringify(spec, (_key, value: unknown) => (isRecord(value) ? Object.fromEntries(Object.entries(value).sort(byKey)) : value)),
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function byKey([a]: [string, unknown], [b]: [string, unknown]): number {
  return a < b ? -1 : 1;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
