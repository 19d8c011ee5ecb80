import { isIP } from 'node:net';
import type { ServiceSettings } from '../core/service-settings.ts';
import { type Environment, integer, invalid, portRange, seconds, textOr } from './values.ts';

export function serviceSettings(env: Environment): ServiceSettings {
  const bind = textOr(env, 'SERVICE_BIND', '127.0.0.1');
  if (isIP(bind) === 0) throw invalid('SERVICE_BIND', `"${bind}" is not an IP address`);
  return {
    ports: portRange(env, 'SERVICE_PORTS', { first: 19_000, last: 19_999 }),
    bind,
    maxPerTenant: integer(env, 'MAX_SERVICES_PER_TENANT', 20, { min: 0, max: 10_000 }),
    healthMs: seconds(env, 'SERVICE_HEALTH_SECONDS', 30) * 1000,
    healthFailures: integer(env, 'SERVICE_HEALTH_FAILURES', 3, { min: 1, max: 100 }),
    startMs: seconds(env, 'SERVICE_START_SECONDS', 60) * 1000,
    restartBaseMs: seconds(env, 'SERVICE_RESTART_SECONDS', 5) * 1000,
    maxRestarts: integer(env, 'SERVICE_MAX_RESTARTS', 5, { min: 0, max: 1000 }),
    restartWindowMs: integer(env, 'SERVICE_RESTART_WINDOW_SECONDS', 1800, { min: 1, max: 604_800 }) * 1000,
  };
}
