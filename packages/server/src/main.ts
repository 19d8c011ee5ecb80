import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { createAgents } from './agents/agents.ts';
import type { AgentLimits } from './agents/definition.ts';
import { findAssets } from './assets.ts';
import { systemClock } from './base/clock.ts';
import { newId } from './base/ids.ts';
import { createLogger, type Logger } from './base/log.ts';
import { VERSION } from './base/version.ts';
import { type Config, loadConfig } from './config.ts';
import type { Provider } from './core/model.ts';
import { createEgressGateway } from './egress/egress-gateway.ts';
import { createEnvironments } from './environments/environments.ts';
import { builtinHarness } from './harness/builtin.ts';
import { createHarnessCatalog, type HarnessCatalog } from './harness/catalog.ts';
import { claudeHarness } from './harness/claude.ts';
import { runFakeAgent } from './harness/fake/fake-agent.ts';
import { FAKE_AGENT_PROGRAM, fakeHarness } from './harness/fake/fake-harness.ts';
import { createApp } from './http/app.ts';
import { hashApiKey } from './http/auth.ts';
import { startHttpServer } from './http/server.ts';
import type { RuntimeDriver } from './runtime/driver.ts';
import { sandboxImageTag } from './runtime/image.ts';
import { createReconciler } from './runtime/reconciler.ts';
import { selectRuntime } from './runtime/select.ts';
import { removeSessionDirectories } from './sandboxes/directories.ts';
import { createLiveSandboxes } from './sandboxes/live-sandboxes.ts';
import { openSandbox } from './sandboxes/open-sandbox.ts';
import { createEventBus } from './sessions/event-bus.ts';
import { createSendEvents } from './sessions/send-events.ts';
import { createSessions } from './sessions/sessions.ts';
import { openSqliteStore } from './store/sqlite/sqlite-store.ts';
import type { Store } from './store/store.ts';
import { createHealthMonitor } from './system/health.ts';
import { type AdminKey, ensureAdminKey, ensureDefaults } from './tenants/bootstrap.ts';
import { createDispatcher, type Dispatcher } from './turns/dispatcher.ts';

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

const LEASE_MS = 30_000;
/** How long open answers and streams may go on once nothing runs any more. */
const HTTP_GRACE_MS = 1000;

/** Puts the whole server together and starts it: the only place that names the concrete parts. */
export async function startServer(config: Config = loadConfig()): Promise<RunningServer> {
  const log = createLogger(config.log);
  const undo: (() => Promise<unknown>)[] = [];
  try {
    return await assemble(config, log, undo);
  } catch (error) {
    for (const step of undo.reverse()) await step().catch((cause: unknown) => log.warn({ err: cause }, 'cleaning up after a failed start'));
    throw error;
  }
}

async function assemble(config: Config, log: Logger, undo: (() => Promise<unknown>)[]): Promise<RunningServer> {
  const clock = systemClock;
  const assets = findAssets();
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  const store = await openStore(config);
  undo.push(() => store.close());
  const driver = await selectRuntime({
    choice: config.runtime,
    dockerHost: config.dockerHost,
    runtimeDir: config.runtimeDir,
    log,
    fakePrograms: { [FAKE_AGENT_PROGRAM]: runFakeAgent },
  });
  undo.push(() => driver.close());
  const gateway = createEgressGateway({ providers: config.providers, modelIdleMs: config.modelIdleMs, clock, log });
  undo.push(() => gateway.close());
  const { catalog, limits, model, isDemo } = chooseAgents(config, driver);
  const installation = await store.installationId();
  const bus = createEventBus(store);

  const sandboxDeps = {
    driver,
    gateway,
    clock,
    log,
    installation,
    dataDir: config.dataDir,
    startTimeoutMs: config.sandboxStartTimeoutMs,
    imageFor: (variant: 'default' | 'claude') =>
      variant === 'default' ? (config.sandboxImage ?? sandboxImageTag(variant)) : sandboxImageTag(variant),
  };
  // The dispatcher runs turns in sandboxes, and the sandboxes ask it for room.
  const parts: { dispatcher?: Dispatcher } = {};
  const live = createLiveSandboxes({
    open: (input) => openSandbox(sandboxDeps, input),
    clock,
    log,
    maxSandboxes: config.maxConcurrentSandboxes,
    idleMs: config.sandboxIdleMs,
    makeRoom: async () => (await parts.dispatcher?.makeRoom()) ?? false,
  });
  const dispatcher = createDispatcher({
    store,
    clock,
    log,
    live,
    catalog,
    providers: new Set([...config.providers.keys(), 'demo']),
    publishPreview: bus.publishPreview,
    nodeId: newId('node'),
    leaseMs: LEASE_MS,
    turnTimeoutMs: config.turnTimeoutMs,
    maxConcurrentTurns: config.maxConcurrentSandboxes,
    drainMs: config.drainMs,
  });
  parts.dispatcher = dispatcher;
  const reconciler = createReconciler({ driver, installation, clock, log, isOwned: live.isOwned });
  const health = createHealthMonitor({
    store,
    driver,
    clock,
    dataDir: config.dataDir,
    version: VERSION,
    isDraining: () => !dispatcher.isAccepting(),
  });

  const agents = createAgents({ store, clock, limits });
  const environments = createEnvironments({ store, clock, limits: { allowUnrestrictedNetwork: config.allowUnrestrictedNetwork } });
  const sendEvents = createSendEvents({ store, clock, bus, signal: dispatcher, maxQueuedPerSession: config.maxQueuedPerSession });
  const sessions = createSessions({
    store,
    clock,
    limits,
    send: sendEvents,
    async release(sessionId, { isRemoved }) {
      await live.discard(sessionId);
      if (isRemoved) await removeSessionDirectories(config.dataDir, sessionId);
    },
  });
  const adminKey = await ensureAdminKey({ store, clock, dataDir: config.dataDir, configured: config.adminKey, hash: hashApiKey });
  await ensureDefaults({ agents, environments, model, harness: catalog.defaultId });
  const runtime = driver.capabilities.isIsolated ? driver.name : `${driver.name} (no isolation)`;

  const app = createApp({
    store,
    clock,
    log,
    bus,
    agents,
    environments,
    sessions,
    sendEvents,
    version: VERSION,
    maxBodyBytes: config.maxBodyBytes,
    assets: { dashboard: assets.dashboard, docs: assets.docs },
    health: health.current,
    sandboxes: live.list,
    async status() {
      const { queued, running, waitingApproval } = await store.turns.counts();
      return {
        health: health.current().status,
        version: VERSION,
        runtime,
        harness: catalog.defaultId,
        model,
        is_demo: isDemo,
        turns: { queued, running, waiting_approval: waitingApproval },
      };
    },
  });
  // What is left of the last life goes first: an old sandbox must not work beside a new one.
  await reconciler.start();
  undo.push(() => reconciler.stop());
  await dispatcher.start();
  undo.push(() => dispatcher.stop());
  await health.start();
  undo.push(() => health.stop());
  const http = await startHttpServer({ app, host: config.host, port: config.port, clock });
  return {
    url: http.url,
    runtime,
    model,
    harness: catalog.defaultId,
    isDemo,
    adminKey,
    log,
    async stop() {
      await dispatcher.stop();
      await live.close();
      await Promise.all([health.stop(), reconciler.stop(), http.stop({ graceMs: HTTP_GRACE_MS })]);
      await gateway.close();
      await driver.close();
      bus.close();
      await store.close();
    },
  };
}

function openStore(config: Config): Promise<Store> {
  const file = config.store === 'memory' ? ':memory:' : path.join(config.dataDir, 'cloister.db');
  return openSqliteStore({ file, clock: systemClock });
}

interface AgentChoices {
  readonly catalog: HarnessCatalog;
  readonly limits: AgentLimits;
  readonly model: string;
  readonly isDemo: boolean;
}

/** Default models, by the provider that has a key; the first that has one wins. */
const DEFAULT_MODELS: readonly (readonly [Provider, string])[] = [
  ['anthropic', 'claude-sonnet-4-5'],
  ['openai', 'gpt-5'],
  ['google', 'gemini-2.5-pro'],
  ['deepseek', 'deepseek-chat'],
  ['xai', 'grok-4'],
];

function chooseAgents(config: Config, driver: RuntimeDriver): AgentChoices {
  const harnesses = driver.capabilities.isIsolated ? [builtinHarness, claudeHarness] : [fakeHarness];
  const catalog = createHarnessCatalog(harnesses, driver.capabilities.isIsolated ? config.defaultHarness : undefined);
  const providers: ReadonlySet<Provider> = new Set(config.providers.keys());
  const known = DEFAULT_MODELS.find(([provider]) => providers.has(provider))?.[1];
  const model = config.defaultModel ?? known ?? 'demo';
  const limits: AgentLimits = {
    harnesses: catalog.ids(),
    defaultHarness: catalog.defaultId,
    requiredProvider: (id) => catalog.find(id)?.requiredProvider,
    providers,
  };
  return { catalog, limits, model, isDemo: model === 'demo' };
}
