import { isPlatformError } from '../base/errors.ts';
import { redact } from '../base/redaction/redaction.ts';
import type { Settings } from './schema.ts';
import type { Origin, Settled } from './settle.ts';
import { type Environment, invalid, peek } from './values.ts';

export interface EffectiveSetting {
  readonly name: string;
  readonly kind: string;
  readonly allowed: string | null;
  /** Null for one that is not set, and for every secret. */
  readonly value: string | null;
  readonly is_secret: boolean;
  readonly is_set: boolean;
  readonly origin: Origin['from'];
  /** Which variable or file, where the origin alone does not say. */
  readonly origin_name: string | null;
}

export interface ConfigProblem {
  readonly setting: string;
  readonly message: string;
}

/** Every setting as it holds now. Of a secret only whether it is set. */
export function effectiveSettings({ env, originOf }: Settled, settings: Settings): readonly EffectiveSetting[] {
  return [...settings.values()].map(({ name, kind, allowed, fallback, isSecret }) => {
    const origin = originOf(name);
    const value = isSecret ? undefined : (peek(env, name) ?? fallback);
    return {
      name,
      kind,
      allowed: allowed ?? null,
      value: value === undefined ? null : redact(value),
      is_secret: isSecret,
      is_set: origin.from !== 'default',
      origin: origin.from,
      origin_name: 'name' in origin ? origin.name : null,
    };
  });
}

/** All that would stop a start, not only the first: each is left out in turn, and the rest is read again. */
export function problemsOf(given: Environment, load: (env: Environment) => unknown): readonly ConfigProblem[] {
  const env: Record<string, string | undefined> = { ...given };
  const problems: ConfigProblem[] = [];
  for (;;) {
    const problem = problemOf(env, load);
    if (problem === undefined) return problems;
    problems.push(problem);
    if (env[problem.setting] === undefined) return problems;
    delete env[problem.setting];
  }
}

function problemOf(env: Environment, load: (env: Environment) => unknown): ConfigProblem | undefined {
  try {
    load(env);
    return undefined;
  } catch (error) {
    if (!isPlatformError(error, 'config_invalid')) throw error;
    const [field] = error.fields ?? [];
    return { setting: field?.pointer ?? '', message: error.detail };
  }
}

/** Reads, and says of a value from elsewhere than the environment where it stands. */
export function explaining<T>({ originOf }: Settled, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const [field] = isPlatformError(error, 'config_invalid') ? (error.fields ?? []) : [];
    const origin = field === undefined ? undefined : originOf(field.pointer);
    if (field === undefined || origin === undefined || !('name' in origin) || origin.from === 'secret file') throw error;
    throw invalid(field.pointer, `${field.message} (it comes from ${origin.name})`, error);
  }
}
