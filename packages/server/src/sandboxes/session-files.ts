import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { Clock } from '../base/clock.ts';
import { asJsonObject, type JsonObject } from '../base/json.ts';
import type { Logger } from '../base/log.ts';
import type { Service } from '../base/service.ts';
import { memoryFolder, removeIn, type SessionDirectories, sessionsFolder, uploadsFolder } from './directories.ts';
import { inodesOf } from './quota/loop-disks.ts';
import { createTrees } from './quota/trees.ts';
import { parseBytes } from './template.ts';

/** Whose files are meant; every session's row has this. */
export interface FilesOwner {
  readonly id: string;
  readonly tenantId: string;
  readonly agentId: string;
  /** The environment's definition, as the session keeps it. */
  readonly environment: JsonObject;
}

/** What holds a workspace to its size: the kernel, a look every few seconds, or nothing since it has none. */
export type QuotaMode = 'enforced' | 'watched' | 'none';

export interface Quota {
  readonly mode: QuotaMode;
  /** Undefined for no limit. */
  readonly bytes: number | undefined;
  /** Files, directories and links. */
  readonly maxEntries: number;
}

export interface SessionPlaces extends SessionDirectories {
  /** On the filesystem of the workspace, where no sandbox sees it. */
  readonly staging: string;
  /** Copies of the workspace, outside of what the quota counts. */
  readonly snapshots: string;
  readonly quota: Quota;
  /** All sessions of the agent have this workspace. */
  readonly isShared: boolean;
  /** False where the directories are, or lie in, a mount, or are others' as well: they stay where they are. */
  readonly canRename: boolean;
}

/** The directories in which sessions have their files, with the disks that they lie on. */
export interface SessionFiles extends Service {
  /** Makes what is not there yet, and mounts what is to be mounted. Keeps what is there. Throws `disk_full`, `workspace_unavailable`. */
  ensure(owner: FilesOwner): Promise<SessionPlaces>;
  /** Removes all that the session has alone; what its agent's sessions share stays. */
  remove(sessionId: string): Promise<void>;
  /** Removes the workspace that an agent's sessions have shared. */
  removeShared(agentId: string): Promise<void>;
  /** What would hold a new workspace to a size, and why nothing better. */
  enforcement(): Promise<{ readonly mode: 'enforced' | 'watched'; readonly reason: string | null }>;
}

export interface SessionFilesDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly dataDir: string;
  /** For environments that say nothing of `disk`; undefined for no limit. */
  readonly defaultQuota: number | undefined;
  /** What no environment gets more than; undefined for no bound. */
  readonly maxQuota?: number | undefined;
  /** Whether sandboxes see what this process mounts. */
  readonly seesOurMounts: () => Promise<boolean>;
  /** The sessions that have a sandbox here. */
  readonly isLive: (sessionId: string) => boolean;
  /** No other server uses the files. */
  readonly isSole: boolean;
}

/** Disks that nobody has used for this long are unmounted; a mount costs memory and threads of the kernel. */
const IDLE_MS = 5 * 60_000;
const SWEEP_MS = 60_000;

export function createSessionFiles(deps: SessionFilesDeps): SessionFiles {
  const { clock, log, dataDir } = deps;
  const kinds = { session: createTrees(sessionsFolder(dataDir), deps), shared: createTrees(sharedFolder(dataDir), deps) };
  /** The tree of a session that shares its agent's. */
  const sharing = new Map<string, string>();
  let cancel: (() => void) | undefined;
  let sweeping: Promise<void> = Promise.resolve();

  async function ensure(owner: FilesOwner): Promise<SessionPlaces> {
    const { id, agentId } = owner;
    const bytes = smallest(quotaOf(owner.environment) ?? deps.defaultQuota, deps.maxQuota);
    const isShared = sharesWorkspace(owner.environment);
    if (isShared) sharing.set(id, agentId);
    const own = await kinds.session.ensure(id, isShared ? ['home'] : ['home', 'workspace'], bytes);
    const tree = isShared ? await kinds.shared.ensure(agentId, ['workspace'], bytes) : own;
    return {
      home: path.join(own.root, 'home'),
      workspace: path.join(tree.root, 'workspace'),
      staging: path.join(tree.root, 'staging'),
      snapshots: snapshotsOf(dataDir, id),
      quota: {
        mode: bytes === undefined ? 'none' : tree.isMounted ? 'enforced' : 'watched',
        bytes,
        maxEntries: inodesOf(bytes ?? Infinity),
      },
      isShared,
      canRename: !own.isMounted && !isShared,
    };
  }

  async function sweep(): Promise<void> {
    const live = new Set([...sharing].filter(([sessionId]) => deps.isLive(sessionId)).map(([, agentId]) => agentId));
    await kinds.session.unmountIdle({ isInUse: deps.isLive, idleMs: IDLE_MS });
    await kinds.shared.unmountIdle({ isInUse: (id) => live.has(id), idleMs: IDLE_MS });
  }

  return {
    name: 'session files',
    ensure,
    async remove(sessionId) {
      sharing.delete(sessionId);
      await rm(snapshotsOf(dataDir, sessionId), { recursive: true, force: true });
      for (const folder of [memoryFolder(dataDir), uploadsFolder(dataDir)]) await removeIn(folder, sessionId);
      await kinds.session.remove(sessionId);
    },
    removeShared: (agentId) => kinds.shared.remove(agentId),
    async enforcement() {
      const reason = (await kinds.session.obstacle()) ?? null;
      return { mode: reason === null ? 'enforced' : 'watched', reason };
    },
    async start() {
      cancel ??= clock.every(SWEEP_MS, () => {
        sweeping = sweeping
          .then(sweep)
          .catch((error: unknown) => log.warn({ err: error }, 'disks that are not in use could not be unmounted'));
      });
    },
    async stop() {
      cancel?.();
      cancel = undefined;
      await sweeping;
      // Another server may be about to use what it does not have open yet.
      if (!deps.isSole) return;
      const unused = { isInUse: () => false, idleMs: Number.NEGATIVE_INFINITY };
      for (const trees of [kinds.session, kinds.shared])
        await trees.unmountIdle(unused).catch((error: unknown) => log.warn({ err: error }, 'disks could not be unmounted'));
    },
  };
}

/** Beside the sessions' own: whoever shares those between servers shares these. */
export function sharedFolder(dataDir: string): string {
  return path.join(sessionsFolder(dataDir), '.agents');
}

export function snapshotsOf(dataDir: string, sessionId: string): string {
  return path.join(sessionsFolder(dataDir), '.snapshots', sessionId);
}

/** Bytes of the `disk` that the environment asks for. */
function quotaOf(environment: JsonObject): number | undefined {
  return parseBytes(asJsonObject(environment.config).disk);
}

export function keepsTurns(environment: JsonObject): boolean {
  return asJsonObject(environment.config).snapshots === 'turn' && !sharesWorkspace(environment);
}

export function sharesWorkspace(environment: JsonObject): boolean {
  return asJsonObject(environment.config).workspace === 'agent';
}

function smallest(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? (one ?? other) : Math.min(one, other);
}
