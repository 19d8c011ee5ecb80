import { memorySchema } from '@cloister/api';
import { type Environment, integer, invalid, peek, secret, textOr } from './values.ts';

/** The settings of NoClaw that have a place here. */
export interface NoclawSettings {
  /** Taken as a key of the tenant `default` with the role `member`. */
  readonly apiKey: string | undefined;
  readonly memory: string;
  readonly cpus: number;
  /** How long a request waits for its answer; the turn is stopped then. */
  readonly timeoutMs: number;
  /** The models that hints stand for. */
  readonly models: Readonly<Record<ModelHint, string>>;
}

export const MODEL_HINTS = ['haiku', 'sonnet', 'opus'] as const;
export type ModelHint = (typeof MODEL_HINTS)[number];

const MIN_KEY_LENGTH = 16;

export function noclawSettings(env: Environment): NoclawSettings {
  return {
    apiKey: apiKey(env),
    memory: memory(env),
    cpus: cpus(env),
    timeoutMs: integer(env, 'CONTAINER_TIMEOUT', 120, { min: 1, max: 3600 }) * 1000,
    models: {
      haiku: textOr(env, 'NOCLAW_MODEL_HAIKU', 'claude-haiku-4-5'),
      sonnet: textOr(env, 'NOCLAW_MODEL_SONNET', 'claude-sonnet-4-5'),
      opus: textOr(env, 'NOCLAW_MODEL_OPUS', 'claude-opus-4-5'),
    },
  };
}

function apiKey(env: Environment): string | undefined {
  const key = secret(env, 'NOCLAW_API_KEY');
  if (key === undefined || (key.length >= MIN_KEY_LENGTH && !/\s/.test(key))) return key;
  throw invalid('NOCLAW_API_KEY', `a key needs at least ${MIN_KEY_LENGTH} characters and no space`);
}

function memory(env: Environment): string {
  const given = textOr(env, 'CONTAINER_MEMORY_LIMIT', '1g');
  if (memorySchema.safeParse(given).success) return given;
  throw invalid('CONTAINER_MEMORY_LIMIT', `"${given}" is no size from 64m to 1024g, such as 1g`);
}

function cpus(env: Environment): number {
  const given = textOr(env, 'CONTAINER_CPU_LIMIT', '1.0');
  const number = Number(given);
  if (number >= 0.05 && number <= 256) return number;
  throw invalid('CONTAINER_CPU_LIMIT', `"${given}" is not a number of CPUs from 0.05 to 256`);
}

export const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  WORKER_IMAGE: 'sandboxes are made from an image of ours; CLOISTER_SANDBOX_IMAGE names another',
  WORKSPACE_ROOT: 'the files of users are below DATA_DIR',
  LOCAL_MODE: 'no agent runs without a sandbox; CLOISTER_RUNTIME=bubblewrap needs no container engine',
};

export function noclawNotes(env: Environment): readonly string[] {
  return Object.entries(WITHOUT_EFFECT)
    .filter(([name]) => peek(env, name) !== undefined)
    .map(([name, why]) => `${name} has no effect: ${why}`);
}
