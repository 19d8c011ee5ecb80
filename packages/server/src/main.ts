import { mkdir } from 'node:fs/promises';
import { createAgents } from './agents/agents.ts';
import { findAssets } from './assets.ts';
import { systemClock } from './base/clock.ts';
import { createLogger, type Logger } from './base/log.ts';
import { createRefusals, type Refusals } from './base/refusals.ts';
import type { Service } from './base/service.ts';
import { VERSION } from './base/version.ts';
import { type Config, loadConfig } from './config.ts';
import { createConnector } from './egress/connector.ts';
import { createEnvironments } from './environments/environments.ts';
import { type App, createApp } from './http/app.ts';
import { hashApiKey } from './http/auth.ts';
import { type HttpServer, startHttpServer } from './http/server.ts';
import { type Engine, type Overrides, openEngine, runtimeName, type Undo } from './open-engine.ts';
import { OutboxWorker } from './outbox/outbox-worker.ts';
import { createRetention, type Retention } from './retention/retention.ts';
import type { SandboxObservation } from './runtime/driver.ts';
import { createReconciler, type Reconciler } from './runtime/reconciler.ts';
import { createFileSweep } from './sandboxes/file-sweep.ts';
import type { LiveSandboxes } from './sandboxes/live-sandboxes.ts';
import type { SessionFiles } from './sandboxes/session-files.ts';
import { createSocketResidue, ownersOf } from './sandboxes/socket-residue.ts';
import { createServiceParts, type ServiceParts } from './services/wiring.ts';
import { createQueueAdmission, type QueueAdmission } from './sessions/queue-admission.ts';
import { createSendEvents } from './sessions/send-events.ts';
import { createSessions, type SessionsDeps } from './sessions/sessions.ts';
import { createTurns } from './sessions/turns.ts';
import { createDuty } from './system/duty.ts';
import { createHealthMonitor, type HealthMonitor } from './system/health.ts';
import { createNodePresence } from './system/node-presence.ts';
import { createStageSummary } from './system/stage-summary.ts';
import { createStatus, liveSandboxOf, sandboxDescriber } from './system/status.ts';
import { type AdminKey, ensureAdminKey, ensureDefaults } from './tenants/bootstrap.ts';
import { createTurnParts, prestartOf, type TurnParts } from './turn-parts.ts';
import { createWebhookDelivery } from './webhooks/deliver.ts';
import { createSender } from './webhooks/send.ts';
import { createWebhooks } from './webhooks/webhooks.ts';
import { createTakeOver, type TakeOver } from './workspaces/take-over.ts';
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

async function assemble(config: Config, overrides: Overrides, log: Logger, undo: Undo): Promise<RunningServer> {
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  const engine = await openEngine(config, overrides, log, undo);
  const { store, driver, chosen } = engine;
  const { live, dispatcher, stages, sessionFiles, quotaWatch, turnSnapshots } = createTurnParts(config, engine);
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
  const residues = [createSocketResidue({ ...engine, dataDir: config.dataDir, clock, ...ownersOf(live, presence) })];
  const { installation } = engine;
  const reconciler = createReconciler({ driver, installation, clock, log, isOwned, desired: live.desired, residues });
  const isDraining = () => !dispatcher.isAccepting();
  const health = createHealthMonitor({ store, driver, clock, dataDir: config.dataDir, version: VERSION, isDraining });
  const adminKey = await ensureAdminKey({ store, clock, dataDir: config.dataDir, configured: config.adminKey, hash: hashApiKey });
  const outbox = createOutbox(config, engine);
  const parts = await createServiceParts({ ...engine, config, runtime: driver.services, clock });
  const release = createRelease(live, sessionFiles);
  const retention = createRetentionOf(config, engine, release);
  const duty = createRetentionDuty(config, engine, retention);
  const refusals = createRefusals();
  const { maxQueued: max, maxQueuedPerTenant: maxPerTenant } = config;
  const admission = createQueueAdmission({ store, clock, log, refusals, max, maxPerTenant });
  const { dataDir } = config;
  const fileSweep = createFileSweep({
    sessions: store.sessions,
    agents: store.agents,
    files: sessionFiles,
    clock,
    log,
    dataDir,
    installation: engine.installation,
  });
  const app = await createHttp(config, engine, {
    live,
    dispatcher,
    stages,
    sessionFiles,
    quotaWatch,
    turnSnapshots,
    health,
    outbox,
    admission,
    refusals,
    retention,
    release,
    parts,
    reconciler,
  });
  const keepers = [...parts.keepers, ...(live.pool === undefined ? [] : [live.pool])];
  // What is left of the last life goes first: an old sandbox must not work beside a new one.
  for (const service of [
    presence,
    reconciler,
    dispatcher,
    outbox,
    health,
    admission,
    duty,
    sessionFiles,
    fileSweep,
    quotaWatch,
    ...keepers,
  ]) {
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
    stop: () =>
      stopAll(engine, {
        live,
        dispatcher,
        presence,
        http,
        keepers: [duty, ...keepers],
        rest: [health, admission, outbox, quotaWatch, fileSweep, sessionFiles, reconciler],
      }),
  };
}

interface Running extends Pick<TurnParts, 'live' | 'dispatcher'> {
  readonly presence: Service;
  readonly http: HttpServer;
  /** They end while turns still drain. */
  readonly keepers: readonly Service[];
  readonly rest: readonly Service[];
}

async function stopAll(engine: Engine, { live, dispatcher, presence, http, keepers, rest }: Running): Promise<void> {
  const { store, driver, egress, bus } = engine;
  const drained = dispatcher.stop();
  await Promise.all(keepers.map((service) => service.stop()));
  // Other nodes take the sessions on at once.
  await live.discardIdle({ andLater: !engine.isSoleNode });
  await presence.stop();
  await drained;
  await live.close();
  await Promise.all([...rest.map((service) => service.stop()), http.stop({ graceMs: HTTP_GRACE_MS })]);
  await egress.close();
  await driver.close();
  bus.close();
  await store.close();
}

/** What leaves the platform, by kind: webhooks go out over connections of the server's own, to checked addresses. */
function createOutbox(config: Config, { log, store, installation, nodeId, isSoleNode }: Engine): OutboxWorker {
  const clock = systemClock;
  const connect = createConnector({ clock, timeoutMs: WEBHOOK_TIMEOUT_MS, allowPrivateNetwork: config.allowPrivateWebhooks });
  const send = createSender({ connect, clock, timeoutMs: WEBHOOK_TIMEOUT_MS });
  const deliver = { webhook: createWebhookDelivery({ store, clock, send, installation }) };
  return new OutboxWorker({ store, clock, log, deliver, nodeId, isSoleNode });
}

function takeOverOf({ leaseMs }: Config, { store, nodeId, volumeId, isSoleNode }: Engine, live: LiveSandboxes): TakeOver {
  const isLive = (id: string) => live.list().some(({ sessionId }) => sessionId === id);
  return createTakeOver({ nodes: store.nodes, clock: systemClock, nodeId, volumeId, isSoleNode, waitMs: leaseMs, isLive });
}

interface HttpParts extends TurnParts {
  readonly health: HealthMonitor;
  readonly outbox: OutboxWorker;
  readonly admission: QueueAdmission;
  readonly refusals: Refusals;
  readonly retention: Retention;
  readonly release: SessionsDeps['release'];
  readonly parts: ServiceParts;
  readonly reconciler: Reconciler;
}

function createRelease(live: LiveSandboxes, files: SessionFiles): SessionsDeps['release'] {
  return async (sessionId, { isRemoved }) => {
    await live.discard(sessionId);
    if (isRemoved) await files.remove(sessionId);
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
  {
    live,
    dispatcher,
    stages,
    sessionFiles,
    turnSnapshots,
    health,
    outbox,
    admission,
    refusals,
    retention,
    release,
    parts,
    reconciler,
  }: HttpParts,
): Promise<App> {
  const { log, store, bus, driver, chosen } = engine;
  const { catalog, limits, model, isDemo } = chosen;
  const clock = systemClock;
  const onChanged = async () => {
    live.pool?.refresh();
    await engine.egress.policies.refresh();
  };
  const agents = createAgents({ store, clock, limits, onChanged });
  const { allowUnrestrictedNetwork } = config;
  const environments = createEnvironments({
    store,
    clock,
    limits: { allowUnrestrictedNetwork },
    checkExtras: engine.extras.check,
    onChanged,
  });
  const { maxQueuedPerSession } = config;
  const sendEvents = createSendEvents({ store, clock, bus, signal: dispatcher, maxQueuedPerSession, admit: admission.admit });
  const describeSandbox = sandboxDescriber(driver);
  const sandboxOf = liveSandboxOf(live, describeSandbox);
  const sessions = createSessions({
    store,
    clock,
    limits,
    volumeId: engine.volumeId,
    send: sendEvents,
    release,
    prepare: prestartOf(config, engine, live),
    sandboxOf,
  });
  await ensureDefaults({ store, clock, nodeId: engine.nodeId, agents, environments, model, harness: catalog.defaultId });
  const status = createStatus({
    store,
    clock,
    log,
    driver,
    health: () => health.current().status,
    summary: createStageSummary(stages),
    workspaceQuota: async () => (await sessionFiles.enforcement()).mode,
    runtimeClasses: config.runtimeClasses,
    reconciler: reconciler.report,
    about: {
      version: VERSION,
      runtime: runtimeName(driver),
      runtimeReason: engine.runtimeReason,
      harness: catalog.defaultId,
      model,
      isDemo,
    },
  });
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
    ...createWorkspaces({
      store,
      clock,
      dataDir: config.dataDir,
      sessionFiles,
      limits: config.files,
      release,
      turnSnapshots,
      volumeId: engine.volumeId,
      takeOver: takeOverOf(config, engine, live),
    }),
    services: parts.services,
    health: () => health.current(),
    status,
    sandboxes: live.list,
    pool: live.pool,
    describeSandbox,
    stages,
    egress: engine.egress.audit,
    deliveryAttempts: () => outbox.attempts(),
    purged: () => retention.purged(),
    reconciler: reconciler.report,
    version: VERSION,
    maxBodyBytes: config.maxBodyBytes,
    limits: config.http,
    refusals,
    requestLeaseMs: config.leaseMs,
    assets: { dashboard, docs },
  });
}
