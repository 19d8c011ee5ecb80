// How settings are read: each function takes one variable, says what kind of setting it is, and throws
// `config_invalid` naming it. What these functions are asked for is the schema (config/schema.ts).
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import path from 'node:path';
import { PlatformError } from '../base/errors.ts';
import { rememberSecret } from '../base/redaction/redaction.ts';
import { recordRead } from './recording.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Looks without making it a setting. An empty value counts as not set, so that a line `NAME=` in a file switches nothing on. */
export function peek(env: Environment, name: string): string | undefined {
  const value = env[name]?.trim();
  return value === '' ? undefined : value;
}

export function text(env: Environment, name: string, { isSecret = false }: { readonly isSecret?: boolean } = {}): string | undefined {
  recordRead({ name, kind: isSecret ? 'secret' : 'text', isSecret });
  return peek(env, name);
}

export function textOr(env: Environment, name: string, fallback: string): string {
  recordRead({ name, kind: 'text', fallback });
  return peek(env, name) ?? fallback;
}

/** A secret from `NAME`, or from the file that `NAME_FILE` names. No log shows it from then on. */
export function secret(env: Environment, name: string): string | undefined {
  recordRead({ name, kind: 'secret', isSecret: true });
  const value = readSecret(env, name);
  if (value !== undefined) rememberSecret(value, { isLasting: true });
  return value;
}

function readSecret(env: Environment, name: string): string | undefined {
  const direct = peek(env, name);
  const file = peek(env, `${name}_FILE`);
  if (direct !== undefined || file === undefined) return direct;
  try {
    const value = readFileSync(file, 'utf8').trim();
    return value === '' ? undefined : value;
  } catch (cause) {
    throw invalid(`${name}_FILE`, `the file ${file} cannot be read`, cause);
  }
}

export function integer(env: Environment, name: string, fallback: number, range: { min: number; max: number }): number {
  recordRead({ name, kind: 'whole number', fallback: String(fallback), allowed: `${range.min} to ${range.max}` });
  const value = peek(env, name);
  if (value === undefined) return fallback;
  const number = Number(value);
  if (Number.isInteger(number) && number >= range.min && number <= range.max) return number;
  throw invalid(name, `"${value}" is not a whole number from ${range.min} to ${range.max}`);
}

/** A limit that 0 takes away. */
export function limit(env: Environment, name: string, range: { max: number; fallback?: number }): number | undefined {
  const value = integer(env, name, range.fallback ?? 0, { min: 0, max: range.max });
  return value === 0 ? undefined : value;
}

export function times(value: number | undefined, factor: number): number | undefined {
  return value === undefined ? undefined : value * factor;
}

/** Addresses, or networks such as `10.0.0.0/8`, apart by commas. */
export function networks(env: Environment, name: string): readonly string[] {
  recordRead({ name, kind: 'list', allowed: 'addresses and networks, apart by commas' });
  const all = (peek(env, name) ?? '').split(',').map((one) => one.trim());
  return all
    .filter((one) => one !== '')
    .map((one) => {
      const [address = '', prefix, ...rest] = one.split('/');
      const bits = isIP(address) === 6 ? 128 : 32;
      const isPrefix = prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= bits);
      if (isIP(address) !== 0 && isPrefix && rest.length === 0) return one;
      throw invalid(name, `"${one}" is neither an address nor a network`);
    });
}

/** Addresses, each with a port if it is not the usual one, apart by commas. */
export function nameServers(env: Environment, name: string): readonly string[] {
  recordRead({ name, kind: 'list', allowed: 'addresses, apart by commas' });
  const all = (peek(env, name) ?? '').split(',').map((one) => one.trim());
  return all
    .filter((one) => one !== '')
    .map((one) => {
      const [, v6, v4] = /^(?:\[([^\]]+)\]|([\d.]+))(?::\d{1,5})?$/.exec(one) ?? [];
      if (isIP(v6 ?? v4 ?? one) !== 0) return one;
      throw invalid(name, `"${one}" is not the address of a name server`);
    });
}

export function seconds(env: Environment, name: string, fallback: number): number {
  recordRead({ name, kind: 'seconds', fallback: String(fallback), allowed: '0.1 to 3600' });
  const value = peek(env, name);
  if (value === undefined) return fallback;
  const number = Number(value);
  if (number >= 0.1 && number <= 3600) return number;
  throw invalid(name, `"${value}" is not a number of seconds from 0.1 to 3600`);
}

/** Names, apart by commas. */
export function words(env: Environment, name: string): readonly string[] {
  recordRead({ name, kind: 'list', allowed: 'names, apart by commas' });
  return (peek(env, name) ?? '')
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '');
}

export function absolutePath<T extends string | undefined = undefined>(env: Environment, name: string, fallback?: T): string | T {
  recordRead({ name, kind: 'path', fallback, allowed: 'an absolute path' });
  const value = peek(env, name);
  // Without a fallback its type is undefined.
  if (value === undefined) return fallback as T;
  if (path.isAbsolute(value)) return value;
  throw invalid(name, `"${value}" is no absolute path`);
}

export function flag(env: Environment, name: string, fallback = false): boolean {
  recordRead({ name, kind: 'true or false', fallback: String(fallback), allowed: 'true, false' });
  const value = peek(env, name)?.toLowerCase();
  if (value === undefined) return fallback;
  if (value === 'false' || value === '0' || value === 'no') return false;
  if (value === 'true' || value === '1' || value === 'yes') return true;
  throw invalid(name, `"${value}" is neither true nor false`);
}

export function choice<const T extends string>(env: Environment, name: string, allowed: readonly T[], fallback: NoInfer<T>): T {
  recordRead({ name, kind: 'choice', fallback, allowed: allowed.join(', ') });
  const value = peek(env, name);
  if (value === undefined) return fallback;
  const found = allowed.find((one) => one === value);
  if (found !== undefined) return found;
  throw invalid(name, `"${value}" is none of ${allowed.join(', ')}`);
}

export function url(env: Environment, name: string): string | undefined {
  recordRead({ name, kind: 'URL', allowed: 'an http or https URL' });
  const value = peek(env, name);
  if (value === undefined) return undefined;
  const parsed = URL.parse(value);
  if (parsed === null || (parsed.protocol !== 'http:' && parsed.protocol !== 'https:'))
    throw invalid(name, `"${value}" is not an http or https URL`);
  return value.replace(/\/+$/, '');
}

export function invalid(name: string, why: string, cause?: unknown): PlatformError {
  return new PlatformError('config_invalid', { detail: `${name}: ${why}.`, fields: [{ pointer: name, message: why }], cause });
}

/** Both ends belong to it. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export function portRange(env: Environment, name: string, fallback: PortRange): PortRange {
  recordRead({ name, kind: 'ports', fallback: `${fallback.first}-${fallback.last}`, allowed: 'a range from 1024 to 65535' });
  const value = peek(env, name);
  if (value === undefined) return fallback;
  const [, first, last] = /^(\d{1,5})-(\d{1,5})$/.exec(value) ?? [];
  const range = { first: Number(first), last: Number(last) };
  if (range.first >= 1024 && range.last <= 65_535 && range.first <= range.last) return range;
  throw invalid(name, `"${value}" is not a range of ports such as 19000-19999, from 1024 to 65535`);
}
