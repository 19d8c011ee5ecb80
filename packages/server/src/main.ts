import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { Status } from '@cloister/api';
import { type AgentChoices, chooseAgents } from './agent-choices.ts';
import { createAgents } from './agents/agents.ts';
import { findAssets } from './assets.ts';
import { systemClock } from './base/clock.ts';
import { newId } from './base/ids.ts';
import { createLogger, type Logger } from './base/log.ts';
import { createRefusals, type Refusals } from './base/refusals.ts';
import type { Service } from './base/service.ts';
import { VERSION } from './base/version.ts';
import { chooseRuntime } from './choose-runtime.ts';
import { type Config, loadConfig } from './config.ts';
import { createConnector } from './egress/connector.ts';
import { createEnvironments } from './environments/environments.ts';
import { runFakeAgent } from './harness/fake/fake-agent.ts';
import { FAKE_AGENT_PROGRAM } from './harness/fake/fake-harness.ts';
import { type App, createApp } from './http/app.ts';
import { hashApiKey } from './http/auth.ts';
import { startHttpServer } from './http/server.ts';
import { type Egress, openEgress } from './open-egress.ts';
import { OutboxWorker } from './outbox/outbox-worker.ts';
import { createRetention, type Retention } from './retention/retention.ts';
import type { RuntimeDriver, SandboxObservation } from './runtime/driver.ts';
import { sandboxImageTag } from './runtime/image.ts';
import { createReconciler } from './runtime/reconciler.ts';
import { ensureVolume, removeSessionDirectories } from './sandboxes/directories.ts';
import { createExtras } from './sandboxes/extras.ts';
import { createFileSweep } from './sandboxes/file-sweep.ts';
import { createLiveSandboxes, type LiveSandboxes } from './sandboxes/live-sandboxes.ts';
import { openSandbox, type SandboxDeps } from './sandboxes/open-sandbox.ts';
import { sleepOf } from './sandboxes/sleep-policy.ts';
import { createStageLog, type StageLog } from './sandboxes/stages.ts';
import { createServiceParts, type ServiceParts } from './services/wiring.ts';
import { createEventBus, type EventBus } from './sessions/event-bus.ts';
import { createQueueAdmission, type QueueAdmission } from './sessions/queue-admission.ts';
import { relayRemoteCommits } from './sessions/remote-commits.ts';
import { createSendEvents } from './sessions/send-events.ts';
import { createSessions, type SessionsDeps } from './sessions/sessions.ts';
import { createTurns } from './sessions/turns.ts';
import { openPostgresStore } from './store/postgres/postgres-store.ts';
import { openSqliteStore } from './store/sqlite/sqlite-store.ts';
import type { Store } from './store/store.ts';
import { createDuty } from './system/duty.ts';
import { createHealthMonitor, type HealthMonitor } from './system/health.ts';
import { createNodePresence } from './system/node-presence.ts';
import { type AdminKey, ensureAdminKey, ensureDefaults } from './tenants/bootstrap.ts';
import { Dispatcher } from './turns/dispatcher.ts';
import { createPrestart } from './turns/prestart.ts';
import { createWebhookDelivery } from './webhooks/deliver.ts';
import { createSender } from './webhooks/send.ts';
import { createWebhooks } from './webhooks/webhooks.ts';
import { createWorkspaces } from './workspaces/workspaces.ts';

export interface RunningServer {
  readonly url: string;
  readonly runtime: string;
  readonly model: string;
  readonly harness: string;
  readonly isDemo: boolean;
  readonly adminKey: AdminKey;
  readonly log: Logger;
  /** Takes no new work, lets turns finish for a while, and lets go of everything. */
  stop(): Promise<void>;
}

/** How long open answers and streams may go on once nothing runs any more. */
const HTTP_GRACE_MS = 1000;
/** How long an endpoint may take to answer a webhook. */
const WEBHOOK_TIMEOUT_MS = 15_000;
const DAY_MS = 24 * 3600 * 1000;

/** What tests put around the real parts. */
export interface Overrides {
  readonly wrapStore?: (store: Store) => Store;
}

/** Puts the whole server together and starts it: the only place that names the concrete parts. */
export async function startServer(config: Config = loadConfig(), overrides: Overrides = {}): Promise<RunningServer> {
  const log = createLogger(config.log);
  const undo: (() => Promise<unknown>)[] = [];
  try {
    return await assemble(config, overrides, log, undo);
  } catch (error) {
    for (const step of undo.reverse()) await step().catch((cause: unknown) => log.warn({ err: cause }, 'cleaning up after a failed start'));
    throw error;
  }
}

type Undo = (() => Promise<unknown>)[];

async function assemble(config: Config, overrides: Overrides, log: Logger, undo: Undo): Promise<RunningServer> {
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  const engine = await openEngine(config, overrides, log, undo);
  const { store, driver, egress, bus, chosen } = engine;
  const { live, dispatcher, stages } = createTurnParts(config, engine);
  const clock = systemClock;
  const presence = createNodePresence({
    nodes: store.nodes,
    clock,
    log,
    nodeId: engine.nodeId,
    leaseMs: config.leaseMs,
    heartbeatMs: config.heartbeatMs,
    isSoleNode: engine.isSoleNode,
    live,
  });
  const isOwned = ({ ref, labels }: SandboxObservation) => live.isOwned(ref) || presence.isAliveElsewhere(labels.node);
  const reconciler = createReconciler({ driver, installation: engine.installation, clock, log, isOwned });
  const isDraining = () => !dispatcher.isAccepting();
  const health = createHealthMonitor({ store, driver, clock, dataDir: config.dataDir, version: VERSION, isDraining });
  const adminKey = await ensureAdminKey({ store, clock, dataDir: config.dataDir, configured: config.adminKey, hash: hashApiKey });
  const outbox = createOutbox(config, engine);
  const parts = await createServiceParts({ ...engine, config, runtime: driver.services, clock });
  const release = createRelease(config, live);
  const retention = createRetentionOf(config, engine, release);
  const duty = createRetentionDuty(config, engine, retention);
  const refusals = createRefusals();
  const { maxQueued: max, maxQueuedPerTenant: maxPerTenant } = config;
  const admission = createQueueAdmission({ store, clock, log, refusals, max, maxPerTenant });
  const { dataDir } = config;
  const fileSweep = createFileSweep({ sessions: store.sessions, clock, log, dataDir, installation: engine.installation });
  const app = await createHttp(config, engine, {
    live,
    dispatcher,
    stages,
    health,
    outbox,
    admission,
    refusals,
    retention,
    release,
    parts,
  });
  // What is left of the last life goes first: an old sandbox must not work beside a new one.
  for (const service of [presence, reconciler, dispatcher, outbox, health, admission, duty, fileSweep, ...parts.keepers]) {
    undo.push(() => service.stop());
    await service.start();
  }
  const http = await startHttpServer({ app, host: config.host, port: config.port, clock });
  return {
    url: http.url,
    runtime: runtimeName(driver),
    model: chosen.model,
    harness: chosen.catalog.defaultId,
    isDemo: chosen.isDemo,
    adminKey,
    log,
    async stop() {
      const drained = dispatcher.stop();
      await Promise.all([duty, ...parts.keepers].map((service) => service.stop()));
      // Other nodes take the sessions on at once.
      await live.discardIdle({ andLater: !engine.isSoleNode });
      await presence.stop();
      await drained;
      await live.close();
      await Promise.all([
        health.stop(),
        admission.stop(),
        outbox.stop(),
        fileSweep.stop(),
        reconciler.stop(),
        http.stop({ graceMs: HTTP_GRACE_MS }),
      ]);
      await egress.close();
      await driver.close();
      bus.close();
      await store.close();
    },
  };
}

interface Engine {
  readonly log: Logger;
  readonly store: Store;
  readonly driver: RuntimeDriver;
  readonly runtimeReason: string;
  readonly egress: Egress;
  readonly bus: EventBus;
  readonly installation: string;
  /** This process. */
  readonly nodeId: string;
  readonly volumeId: string;
  readonly isSoleNode: boolean;
  readonly chosen: AgentChoices;
}

async function openEngine(config: Config, { wrapStore }: Overrides, log: Logger, undo: Undo): Promise<Engine> {
  const nodeId = newId('node');
  const opened = await openStore(config, log, nodeId);
  const store = wrapStore?.(opened) ?? opened;
  undo.push(() => store.close());
  const fakePrograms = { [FAKE_AGENT_PROGRAM]: runFakeAgent };
  const { driver, reason } = await chooseRuntime(config, { log, fakePrograms });
  undo.push(() => driver.close());
  const egress = await openEgress(config, { store, clock: systemClock, log });
  undo.push(() => egress.close());
  const installation = await store.installationId();
  const isSoleNode = !store.events.isShared;
  return {
    log,
    store,
    driver,
    runtimeReason: reason,
    egress,
    bus: createEventBus(store, { clock: systemClock, log }),
    installation,
    nodeId,
    volumeId: await ensureVolume(config.dataDir),
    isSoleNode,
    chosen: chooseAgents(config, driver),
  };
}

/** The session's next turn may run anywhere. What cannot be told now is known when this node's own row runs out. */
function releaseSession({ store, log, nodeId }: Engine): (session: { tenantId: string; id: string }) => void {
  return ({ tenantId, id: sessionId }) => {
    store.nodes
      .release({ id: nodeId, tenantId, sessionId })
      .catch((error: unknown) => log.warn({ err: error, session: sessionId }, 'a session could not be given up'));
  };
}

/** A session's sandbox is opened before its first message, where that is wanted. */
function prestartOf(config: Config, { store, nodeId, volumeId, chosen, log }: Engine, live: LiveSandboxes): SessionsDeps['prepare'] {
  if (!config.prestartSandboxes) return undefined;
  return createPrestart({ live, nodes: store.nodes, nodeId, volumeId, catalog: chosen.catalog, providers: chosen.limits.providers, log });
}

interface TurnParts {
  readonly live: LiveSandboxes;
  readonly dispatcher: Dispatcher;
  readonly stages: StageLog;
}

function createTurnParts(config: Config, engine: Engine): TurnParts {
  const { log, store, driver, egress, bus, installation, nodeId, volumeId, isSoleNode, chosen } = engine;
  const clock = systemClock;
  const stages = createStageLog();
  const sandboxes: SandboxDeps = {
    stages,
    driver,
    gateway: egress.gateway,
    clock,
    log,
    installation,
    nodeId,
    dataDir: config.dataDir,
    startTimeoutMs: config.sandboxStartTimeoutMs,
    imageFor: (variant) => (variant === 'default' ? (config.sandboxImage ?? sandboxImageTag(variant)) : sandboxImageTag(variant)),
    extras: createExtras({ ...config, driver }),
  };
  // The dispatcher runs turns in sandboxes, and the sandboxes ask it for room.
  const parts: { dispatcher?: Dispatcher } = {};
  const live = createLiveSandboxes({
    open: (input) => openSandbox(sandboxes, input),
    clock,
    log,
    maxSandboxes: config.maxConcurrentSandboxes,
    ...sleepOf(config, driver),
    stages,
    makeRoom: async () => (await parts.dispatcher?.makeRoom()) ?? false,
    onClosed: isSoleNode ? undefined : releaseSession(engine),
  });
  const dispatcher = new Dispatcher({
    store,
    clock,
    log,
    live,
    catalog: chosen.catalog,
    providers: chosen.limits.providers,
    publishPreview: bus.publishPreview,
    nodeId,
    volumeId,
    leaseMs: config.leaseMs,
    heartbeatMs: config.heartbeatMs,
    sweepMs: config.sweepMs,
    retry: { baseMs: config.retryBaseMs, maxAttempts: config.maxTurnAttempts },
    caps: { perTenant: config.maxTurnsPerTenant, perAgent: config.maxTurnsPerAgent },
    isSoleNode,
    turnTimeoutMs: config.turnTimeoutMs,
    idleMs: config.sandboxIdleMs,
    maxConcurrentTurns: config.maxConcurrentSandboxes,
    drainMs: config.drainMs,
    stages,
  });
  parts.dispatcher = dispatcher;
  relayRemoteCommits(store, dispatcher);
  return { live, dispatcher, stages };
}

/** What leaves the platform, by kind: webhooks go out over connections of the server's own, to checked addresses. */
function createOutbox(config: Config, { log, store, installation, nodeId, isSoleNode }: Engine): OutboxWorker {
  const clock = systemClock;
  const connect = createConnector({ clock, timeoutMs: WEBHOOK_TIMEOUT_MS, allowPrivateNetwork: config.allowPrivateWebhooks });
  const send = createSender({ connect, clock, timeoutMs: WEBHOOK_TIMEOUT_MS });
  const deliver = { webhook: createWebhookDelivery({ store, clock, send, installation }) };
  return new OutboxWorker({ store, clock, log, deliver, nodeId, isSoleNode });
}

interface HttpParts extends TurnParts {
  readonly health: HealthMonitor;
  readonly outbox: OutboxWorker;
  readonly admission: QueueAdmission;
  readonly refusals: Refusals;
  readonly retention: Retention;
  readonly release: SessionsDeps['release'];
  readonly parts: ServiceParts;
}

function createRelease(config: Config, live: LiveSandboxes): SessionsDeps['release'] {
  return async (sessionId, { isRemoved }) => {
    await live.discard(sessionId);
    if (isRemoved) await removeSessionDirectories(config.dataDir, sessionId);
  };
}

function createRetentionOf(config: Config, { store, log }: Engine, release: SessionsDeps['release']): Retention {
  const { sessionTtlMs, eventRetentionMs: eventMs, deliveryRetentionMs: deliveryMs } = config;
  const settings = { sessionTtlMs, eventMs, deliveryMs, egressMs: config.egress.auditMs };
  return createRetention({ store, clock: systemClock, log, settings, release: (id) => release(id, { isRemoved: true }) });
}

/** One server at a time sees to it for all. */
function createRetentionDuty({ leaseMs }: Config, { store, log, nodeId }: Engine, { run }: Retention): Service {
  return createDuty({ name: 'retention', duties: store.duties, nodeId, leaseMs, clock: systemClock, log, run });
}

async function createHttp(
  config: Config,
  engine: Engine,
  { live, dispatcher, stages, health, outbox, admission, refusals, retention, release, parts }: HttpParts,
): Promise<App> {
  const { log, store, bus, driver, chosen } = engine;
  const { catalog, limits, model, isDemo } = chosen;
  const clock = systemClock;
  const onChanged = engine.egress.policies.refresh;
  const agents = createAgents({ store, clock, limits, onChanged });
  const { allowUnrestrictedNetwork } = config;
  const environments = createEnvironments({
    store,
    clock,
    limits: { allowUnrestrictedNetwork },
    checkExtras: createExtras({ ...config, driver }).check,
    onChanged,
  });
  const { maxQueuedPerSession } = config;
  const sendEvents = createSendEvents({ store, clock, bus, signal: dispatcher, maxQueuedPerSession, admit: admission.admit });
  const sessions = createSessions({ store, clock, limits, send: sendEvents, release, prepare: prestartOf(config, engine, live) });
  await ensureDefaults({ store, clock, nodeId: engine.nodeId, agents, environments, model, harness: catalog.defaultId });
  const status = async (): Promise<Status> => {
    const { queued, running, waitingApproval } = await store.turns.counts();
    const failed = await store.turns.failedSince({ since: clock.now() - DAY_MS });
    const turns = { queued, running, waiting_approval: waitingApproval, failed_24h: failed };
    return {
      health: health.current().status,
      version: VERSION,
      runtime: runtimeName(driver),
      isolation: driver.capabilities.isolationClass,
      runtime_reason: engine.runtimeReason,
      harness: catalog.defaultId,
      model,
      is_demo: isDemo,
      turns,
    };
  };
  const { dashboard, docs } = findAssets();
  return createApp({
    store,
    clock,
    log,
    bus,
    agents,
    environments,
    sessions,
    sendEvents,
    turns: createTurns({ store, send: sendEvents }),
    webhooks: createWebhooks({ store, clock }),
    ...createWorkspaces({ store, clock, dataDir: config.dataDir, limits: config.files, release }),
    services: parts.services,
    health: () => health.current(),
    status,
    sandboxes: live.list,
    stages,
    egress: engine.egress.audit,
    deliveryAttempts: () => outbox.attempts(),
    purged: () => retention.purged(),
    version: VERSION,
    maxBodyBytes: config.maxBodyBytes,
    limits: config.http,
    refusals,
    requestLeaseMs: config.leaseMs,
    assets: { dashboard, docs },
  });
}

const SHORTCOMINGS = { container: '', weaker: ' (weaker isolation)', none: ' (no isolation)' } as const;

/** What the status shows; a runtime that separates less than a container, or nothing, says so. */
function runtimeName(driver: RuntimeDriver): string {
  return `${driver.name}${SHORTCOMINGS[driver.capabilities.isolationClass]}`;
}

function openStore(config: Config, log: Logger, nodeId: string): Promise<Store> {
  const { databaseUrl: url, databasePoolSize: poolSize } = config;
  if (config.store === 'postgres' && url !== undefined) return openPostgresStore({ url, poolSize, clock: systemClock, log, nodeId });
  const file = config.store === 'memory' ? ':memory:' : path.join(config.dataDir, 'cloister.db');
  return openSqliteStore({ file, clock: systemClock });
}
