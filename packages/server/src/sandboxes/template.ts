import { asJsonObject, type JsonObject } from '../base/json.ts';
import type { NetworkPolicy } from '../egress/gateway.ts';
import { parseNetworking } from '../environments/networking.ts';

/** What an environment asks of a sandbox, with the defaults filled in. */
export interface SandboxTemplate {
  /** Undefined takes the image of the harness. */
  readonly image: string | undefined;
  readonly memoryBytes: number;
  readonly cpus: number;
  readonly pids: number;
  readonly network: NetworkPolicy;
  readonly env: Readonly<Record<string, string>>;
}

const DEFAULTS = { memoryBytes: 1024 ** 3, cpus: 1, pids: 256 } as const;

/** Reads the template from an environment's definition, as validated when the environment was made. */
export function parseTemplate(environment: JsonObject): SandboxTemplate {
  const config = asJsonObject(environment.config);
  const env = Object.entries(asJsonObject(config.env)).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  return {
    image: typeof config.image === 'string' ? config.image : undefined,
    memoryBytes: parseBytes(config.memory) ?? DEFAULTS.memoryBytes,
    cpus: typeof config.cpus === 'number' ? config.cpus : DEFAULTS.cpus,
    pids: typeof config.pids === 'number' ? config.pids : DEFAULTS.pids,
    network: parseNetworking(config.networking),
    env: Object.fromEntries(env),
  };
}

const UNITS: Readonly<Record<string, number>> = { '': 1, b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

/** `536870912`, `"512m"`, `"1g"`, `"1.5g"`: bytes, or undefined when it is none of these. */
export function parseBytes(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value > 0 ? value : undefined;
  const match = typeof value === 'string' ? /^(\d+(?:\.\d+)?)\s*([bkmg]?)i?b?$/i.exec(value.trim()) : null;
  const unit = UNITS[match?.[2]?.toLowerCase() ?? '?'];
  return match?.[1] === undefined || unit === undefined ? undefined : Math.floor(Number(match[1]) * unit);
}
