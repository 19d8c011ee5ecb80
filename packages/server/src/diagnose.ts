import { mkdir } from 'node:fs/promises';
import { systemClock } from './base/clock.ts';
import { PlatformError } from './base/errors.ts';
import { newId } from './base/ids.ts';
import { createLogger, type Logger } from './base/log.ts';
import { chooseRuntime } from './choose-runtime.ts';
import { type Config, loadConfig } from './config.ts';
import { configuredDatabase } from './databases.ts';
import { createAttackQuota } from './doctor/attack/quota.ts';
import { type AttackResult, runAttack } from './doctor/attack/run.ts';
import { checkInstallation, type Finding } from './doctor/checks.ts';
import { createEgressGateway } from './egress/egress-gateway.ts';
import { createUnkeptAudit } from './egress/unkept-audit.ts';
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
      isDemo: config.providers.size === 0,
      database: () => configuredDatabase().status(),
      clock: systemClock,
    });
  } finally {
    if (!(runtime instanceof PlatformError)) await runtime.close();
  }
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
