import { asJsonObject, type JsonObject, type JsonValue } from '../base/json.ts';
import type { Config } from '../config.ts';
import type { RuntimeDriver } from '../runtime/driver.ts';
import type { LiveSandboxesDeps } from './live-sandboxes.ts';
import type { SleepPolicy } from './sleep.ts';

/** What the live sandboxes need to let theirs sleep. */
export function sleepOf(
  config: Pick<Config, 'sandboxPauseMs' | 'sandboxHibernateMs' | 'sandboxIdleMs'>,
  driver: RuntimeDriver,
): Pick<LiveSandboxesDeps, 'policyOf' | 'power'> {
  const { sandboxPauseMs: pauseMs, sandboxHibernateMs: hibernateMs, sandboxIdleMs: stopMs } = config;
  return { power: driver.sleep, policyOf: (environment) => sleepPolicyOf(environment, { pauseMs, hibernateMs, stopMs }) };
}

/** The environment's own word before the server's: 0 is never, and nothing is as the server has it. */
export function sleepPolicyOf(environment: JsonObject, defaults: SleepPolicy): SleepPolicy {
  const config = asJsonObject(environment.config);
  const sleep = asJsonObject(config.sleep);
  return {
    endsWithTurn: config.sandbox === 'turn',
    pauseMs: toMs(sleep.pause_after_seconds, defaults.pauseMs),
    hibernateMs: toMs(sleep.hibernate_after_seconds, defaults.hibernateMs),
    stopMs: toMs(sleep.stop_after_seconds, defaults.stopMs),
  };
}

function toMs(seconds: JsonValue | undefined, fallback: number | undefined): number | undefined {
  if (typeof seconds !== 'number') return fallback;
  return seconds === 0 ? undefined : seconds * 1000;
}
