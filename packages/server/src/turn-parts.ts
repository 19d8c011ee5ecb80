import { systemClock } from './base/clock.ts';
import type { Config } from './config.ts';
import { createMemoryMounts } from './memory/mounts.ts';
import type { Engine } from './open-engine.ts';
import { createStorageMeter } from './plans/storage-meter.ts';
import { createStorageRoom } from './plans/storage-room.ts';
import { createProvisioner, type Provisioner } from './resources/provision.ts';
import { type ContentParts, createContentParts } from './resources/wiring.ts';
import { sandboxImageTag } from './runtime/image.ts';
import type { DesiredSandbox } from './runtime/upkeep.ts';
import { createLiveSandboxes, type LiveSandboxes } from './sandboxes/live-sandboxes.ts';
import { type OpenSandboxInput, openSandbox, type SandboxDeps } from './sandboxes/open-sandbox.ts';
import { warmPoolOf } from './sandboxes/pool/wiring.ts';
import { createSessionFiles, type SessionFiles } from './sandboxes/session-files.ts';
import { sleepOf } from './sandboxes/sleep-policy.ts';
import { createStageLog, type StageLog } from './sandboxes/stages.ts';
import { createStarting } from './sandboxes/starting.ts';
import { toldOpen } from './sandboxes/told.ts';
import { relayRemoteCommits } from './sessions/remote-commits.ts';
import type { SessionsDeps } from './sessions/sessions.ts';
import { createSkillSets } from './skills/materialise.ts';
import type { SessionKey } from './store/store.ts';
import { createAttach } from './turns/attachments.ts';
import { Dispatcher } from './turns/dispatcher.ts';
import { createPrestart } from './turns/prestart.ts';
import { createQuotaWatch, type QuotaWatch } from './workspaces/quota-watch.ts';
import { createTurnSnapshots, type TurnSnapshots } from './workspaces/turn-snapshots.ts';

/** The session's next turn may run anywhere. What cannot be told now is known when this node's own row runs out. */
function releaseSession({ store, log, nodeId }: Engine): (session: SessionKey) => void {
  return ({ tenantId, sessionId }) => {
    store.nodes
      .release({ id: nodeId, tenantId, sessionId })
      .catch((error: unknown) => log.warn({ err: error, session: sessionId }, 'a session could not be given up'));
  };
}

/** A session's sandbox is opened before its first message, where that is wanted. */
export function prestartOf(config: Config, { store, nodeId, volumeId, chosen, log }: Engine, live: LiveSandboxes): SessionsDeps['prepare'] {
  if (!config.prestartSandboxes) return undefined;
  return createPrestart({ live, nodes: store.nodes, nodeId, volumeId, catalog: chosen.catalog, ...chosen.limits, log });
}

/** What clients have given into keeping. */
export function contentPartsOf({ contents: limits }: Config, { store }: Engine): ContentParts {
  return createContentParts({ store, clock: systemClock, limits });
}

/** What sandboxes and messages get of it. */
function provisionsOf(config: Config, engine: Engine, sessionFiles: SessionFiles) {
  const { kept, contents } = contentPartsOf(config, engine);
  const { store, log } = engine;
  const { dataDir } = config;
  const provisioner = createProvisioner({
    skillSets: createSkillSets({ store, contents, dataDir, limits: config.contents }),
    memoryMounts: createMemoryMounts({ store, clock: systemClock, log, dataDir }),
    uploads: { storedFiles: kept.storedFiles, dataDir, maxBytes: config.contents.maxUploadBytes },
    sessionFiles,
  });
  return { provisioner, attach: createAttach({ storedFiles: kept.storedFiles, sessionFiles }) };
}

function withMemory(live: LiveSandboxes, provisioner: Provisioner): LiveSandboxes {
  return {
    ...live,
    async acquire(input) {
      const sandbox = await live.acquire(input);
      await provisioner.beforeTurn(input.session);
      return sandbox;
    },
  };
}

export interface TurnParts {
  readonly live: LiveSandboxes;
  /** The sandboxes that must be there and run, those on their way included. */
  readonly desired: () => readonly DesiredSandbox[];
  readonly dispatcher: Dispatcher;
  readonly stages: StageLog;
  readonly sessionFiles: SessionFiles;
  readonly quotaWatch: QuotaWatch;
  readonly turnSnapshots: TurnSnapshots;
}

/** What runs turns, and the sandboxes that they run in. */
export function createTurnParts(config: Config, engine: Engine): TurnParts {
  const { log, store, driver, isSoleNode, chosen } = engine;
  const clock = systemClock;
  const stages = createStageLog();
  // The dispatcher runs turns in sandboxes, and the sandboxes ask it for room; their files ask which of them live.
  const parts: Parts = {};
  const sessionFiles = createSessionFiles({
    clock,
    log,
    dataDir: config.dataDir,
    defaultQuota: config.workspaceQuota,
    maxQuota: config.workspaceQuotaMax,
    seesOurMounts: engine.seesOurMounts,
    isLive: (id) => parts.live?.list().some(({ sessionId }) => sessionId === id) ?? false,
    isSole: isSoleNode,
  });
  const turnSnapshots = createTurnSnapshots({
    store,
    log,
    dataDir: config.dataDir,
    sessionFiles,
    limits: config.files,
    storage: createStorageRoom({ store, clock, log }),
  });
  const meterStorage = createStorageMeter({ store, sessionFiles, clock, log });
  const { provisioner, attach } = provisionsOf(config, engine, sessionFiles);
  const starting = createStarting();
  const sandboxes = sandboxesOf(config, engine, { starting, stages, provisioner, sessionFiles, parts });
  const { catalog, limits } = chosen;
  const common = {
    open: toldOpen((input: OpenSandboxInput) => openSandbox(sandboxes, input), engine.audit.tell),
    clock,
    log,
    ...sleepOf(config, driver),
    stages,
  };
  const live = createLiveSandboxes({
    ...common,
    createPool: warmPoolOf({ ...engine, ...common, config, imageFor: sandboxes.imageFor, catalog, ...limits }),
    maxSandboxes: config.maxConcurrentSandboxes,
    makeRoom: async () => (await parts.dispatcher?.makeRoom()) ?? false,
    onClosed: isSoleNode ? undefined : releaseSession(engine),
  });
  const dispatcher = new Dispatcher({
    ...dispatcherSettings(config, engine),
    // What others have changed in a session's memory meanwhile, its next turn finds there.
    live: withMemory(live, provisioner),
    attach,
    stages,
    async keepWorkspace(session) {
      await provisioner.afterTurn(session);
      await turnSnapshots.take(session);
      meterStorage(session);
    },
  });
  const quotaWatch = createQuotaWatch({ live, clock, log });
  Object.assign(parts, { dispatcher, live, quotaWatch });
  relayRemoteCommits(store, dispatcher);
  engine.answers.connect(dispatcher);
  const desired = () => [...starting.desired(), ...live.desired()];
  return { live, desired, dispatcher, stages, sessionFiles, quotaWatch, turnSnapshots };
}

/** What is made later than those who ask for it. */
interface Parts {
  dispatcher?: Dispatcher;
  live?: LiveSandboxes;
  quotaWatch?: QuotaWatch;
}

interface SandboxParts extends Pick<SandboxDeps, 'starting' | 'stages'> {
  readonly provisioner: Provisioner;
  readonly sessionFiles: SessionFiles;
  readonly parts: Parts;
}

function sandboxesOf(config: Config, engine: Engine, { starting, stages, provisioner, sessionFiles, parts }: SandboxParts): SandboxDeps {
  const { driver, egress, log, installation, nodeId, extras } = engine;
  return {
    starting,
    stages,
    driver,
    gateway: egress.gateway,
    clock: systemClock,
    log,
    installation,
    nodeId,
    dataDir: config.dataDir,
    startTimeoutMs: config.sandboxStartTimeoutMs,
    imageFor: (variant) => (variant === 'default' ? (config.sandboxImage ?? sandboxImageTag(variant)) : sandboxImageTag(variant)),
    extras,
    provide: provisioner.provide,
    async directoriesOf(session) {
      const places = await sessionFiles.ensure(session);
      parts.quotaWatch?.note(session.id, places);
      return places;
    },
  };
}

function dispatcherSettings(config: Config, engine: Engine) {
  const { store, log, nodeId, volumeId, isSoleNode, chosen, bus, audit, tracer, tally } = engine;
  const { leaseMs, heartbeatMs, sweepMs, turnTimeoutMs, approvalTimeoutMs, drainMs } = config;
  return {
    store,
    clock: systemClock,
    log,
    catalog: chosen.catalog,
    providers: chosen.limits.providers,
    providersOf: chosen.limits.providersOf,
    publishPreview: bus.publishPreview,
    nodeId,
    volumeId,
    leaseMs,
    heartbeatMs,
    sweepMs,
    retry: { baseMs: config.retryBaseMs, maxAttempts: config.maxTurnAttempts },
    caps: { perTenant: config.maxTurnsPerTenant, perAgent: config.maxTurnsPerAgent },
    isSoleNode,
    turnTimeoutMs,
    approvalTimeoutMs,
    tell: audit.tell,
    idleMs: config.sandboxIdleMs,
    maxConcurrentTurns: config.maxConcurrentSandboxes,
    drainMs,
    tracer,
    tally,
  };
}
