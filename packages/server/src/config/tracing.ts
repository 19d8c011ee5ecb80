import { rememberSecret } from '../base/redaction/redaction.ts';
import type { TracingSettings } from '../core/tracing-settings.ts';
import { type Environment, invalid, secret, text, url } from './values.ts';

/** The usual variables of OpenTelemetry, as far as they mean something here. Undefined: no traces. */
export function tracingSettings(env: Environment): TracingSettings | undefined {
  const base = url(env, 'OTEL_EXPORTER_OTLP_ENDPOINT');
  const exact = url(env, 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT');
  const headers = headersOf(env);
  const serviceName = text(env, 'OTEL_SERVICE_NAME') ?? 'cloister';
  const sampledPart = part(env, 'OTEL_TRACES_SAMPLER_ARG');
  const place = exact ?? (base === undefined ? undefined : `${base}/v1/traces`);
  return place === undefined ? undefined : { url: place, headers, serviceName, sampledPart };
}

/** `name=value` pairs, apart by commas; the values are URL-encoded and often secret. */
function headersOf(env: Environment): Record<string, string> {
  const pairs = (secret(env, 'OTEL_EXPORTER_OTLP_HEADERS') ?? '').split(',').filter((pair) => pair.trim() !== '');
  return Object.fromEntries(
    pairs.map((pair) => {
      const [, name = '', given = ''] = /^\s*([\w-]+)\s*=(.*)$/.exec(pair) ?? [];
      if (name === '') throw invalid('OTEL_EXPORTER_OTLP_HEADERS', 'it is not a list such as name=value,other=value');
      const value = decoded(given.trim());
      rememberSecret(value.replace(/^(Bearer|Basic) /i, ''), { isLasting: true });
      return [name.toLowerCase(), value];
    }),
  );
}

function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

function part(env: Environment, name: string): number {
  const value = text(env, name);
  if (value === undefined) return 1;
  const number = Number(value);
  if (number >= 0 && number <= 1) return number;
  throw invalid(name, `"${value}" is not a number from 0 to 1`);
}
