import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { systemClock } from './base/clock.ts';
import { PlatformError } from './base/errors.ts';
import { newId } from './base/ids.ts';
import { createLogger, type Logger } from './base/log.ts';
import { chooseRuntime } from './choose-runtime.ts';
import { type Config, loadConfig, loadUpstreamProxy } from './config.ts';
import type { UpstreamProxy } from './core/egress-settings.ts';
import type { Provider } from './core/model.ts';
import { authOf, baseUrlOf } from './core/provider-config.ts';
import { configuredDatabase } from './databases.ts';
import { createAttackQuota } from './doctor/attack/quota.ts';
import { type AttackResult, runAttack } from './doctor/attack/run.ts';
import { checkInstallation, type Finding } from './doctor/checks.ts';
import { createEgressGateway } from './egress/egress-gateway.ts';
import type { KeyCheck, KeyVerdict } from './egress/gateway.ts';
import { createKeyCheck } from './egress/key-check.ts';
import { createProxies } from './egress/proxies.ts';
import { createUnkeptAudit } from './egress/unkept-audit.ts';
import { createTrustedAgents } from './egress/upstream-agents.ts';
import type { RuntimeDriver } from './runtime/driver.ts';
import { seesOurMounts } from './runtime/engine-mounts.ts';
import { sandboxImageTag } from './runtime/image.ts';
import { createExtras } from './sandboxes/extras.ts';

export type { AttackResult } from './doctor/attack/run.ts';
export type { Finding } from './doctor/checks.ts';

/** Checks what the settings name, without a running server. Throws `config_invalid` when they cannot be read. */
export async function diagnose(config: Config = loadConfig()): Promise<readonly Finding[]> {
  const runtime = await tryRuntime(config, quiet());
  try {
    return await checkInstallation({
      runtime,
      images: imagesOf(config),
      dataDir: config.dataDir,
      hasConfiguredKey: config.adminKey !== undefined,
      providers: config.providers,
      // The operator's own providers may be anywhere, also on this machine.
      checkKey: trustedKeyCheck(config.egress.upstreamProxy),
      listen: { host: config.host, port: config.port },
      socket: socketOf(config),
      notes: config.notes,
      database: () => configuredDatabase().status(),
      clock: systemClock,
    });
  } finally {
    if (!(runtime instanceof PlatformError)) await runtime.close();
  }
}

/** Where the engine's socket should be, when it is one that this user may lack the right to; undefined where there is none. */
function socketOf({ dockerHost, runtime }: Config): string | undefined {
  if (dockerHost !== undefined) return dockerHost.startsWith('unix://') ? dockerHost.slice('unix://'.length) : undefined;
  return (runtime === 'auto' || runtime === 'docker') && existsSync(USUAL_SOCKET) ? USUAL_SOCKET : undefined;
}

const USUAL_SOCKET = '/var/run/docker.sock';

/** Whether a provider takes a key, for `cloister init`. */
export async function tryProviderKey(provider: Provider, key: string | undefined, baseUrl?: string): Promise<KeyVerdict> {
  const check = trustedKeyCheck(loadUpstreamProxy());
  const auth = key === undefined ? undefined : authOf(provider === 'openai-compatible' ? 'openai' : provider, key);
  return check(provider, { baseUrl: baseUrl ?? baseUrlOf(provider) ?? '', auth });
}

function trustedKeyCheck(proxy: UpstreamProxy | undefined): KeyCheck {
  const proxies = createProxies(proxy);
  return createKeyCheck({ clock: systemClock, openAgents: (timeoutMs) => createTrustedAgents(proxies, timeoutMs) });
}

/** Attacks a sandbox of this installation from inside. Throws `runtime_unreachable`, or `image_missing`. */
export async function attackInstallation(
  onResult: (result: AttackResult) => void,
  config: Config = loadConfig(),
): Promise<readonly AttackResult[]> {
  if (config.runtime === 'fake')
    throw new PlatformError('config_invalid', {
      detail: 'CLOISTER_RUNTIME: the fake runtime isolates nothing, so there is nothing to attack.',
    });
  const log = quiet();
  const { driver, engine } = await chooseRuntime(config, { log });
  const { providers, modelIdleMs, dataDir } = config;
  const gateway = createEgressGateway({ providers, modelIdleMs, clock: systemClock, log, audit: createUnkeptAudit() });
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    const image = config.sandboxImage ?? sandboxImageTag('default');
    const { runtimeClass } = await createExtras({ ...config, driver }).resolve({ tenantId: 'doctor', agentId: 'doctor', environment: {} });
    const own = { clock: systemClock, log, dataDir, seesOurMounts: () => seesOurMounts(engine) };
    // Without a quota of the operator's there is none to hold.
    const quota = config.workspaceQuota === undefined ? undefined : await createAttackQuota(own);
    const secrets = secretsOf(config);
    const deps = { driver, gateway, clock: systemClock, dataDir, image, nodeId: newId('node'), secrets, runtimeClass, quota };
    return await runAttack(deps, onResult);
  } finally {
    await gateway.close();
    await driver.close();
  }
}

/** An engine that does not answer is a finding of its own. */
async function tryRuntime(config: Config, log: Logger): Promise<RuntimeDriver | PlatformError> {
  try {
    return (await chooseRuntime(config, { log })).driver;
  } catch (error) {
    if (error instanceof PlatformError && error.code === 'runtime_unreachable') return error;
    throw error;
  }
}

function imagesOf(config: Config): readonly string[] {
  const standard = config.sandboxImage ?? sandboxImageTag('default');
  return config.defaultHarness === 'claude' ? [standard, sandboxImageTag('claude')] : [standard];
}

function secretsOf({ adminKey, databaseUrl, providers }: Config): readonly string[] {
  const values = [adminKey, databaseUrl, ...[...providers.values()].map(({ auth }) => auth?.value.replace(/^Bearer /, ''))];
  return values.filter((value): value is string => value !== undefined);
}

function quiet(): Logger {
  return createLogger({ level: 'error', format: 'human', file: undefined });
}
