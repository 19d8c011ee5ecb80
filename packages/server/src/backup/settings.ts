import { redact, redactFields } from '../base/redaction/redaction.ts';
import type { Config } from '../config.ts';

/** The settings as they are in force, to be read by others: whatever is secret is left out or covered. */
export function describeSettings(config: Config): object {
  const { adminKey, databaseUrl, providers, sealing, ...rest } = config;
  const shown = {
    ...rest,
    adminKey: adminKey === undefined ? 'not set' : 'set',
    databaseUrl: databaseUrl === undefined ? 'not set' : placeOf(databaseUrl),
    providers: [...providers.keys()],
    sealing: Object.keys(sealing).filter((name) => Object.entries(sealing).some(([key, value]) => key === name && value !== undefined)),
  };
  const plain: unknown = JSON.parse(JSON.stringify(shown, (_, value: unknown) => (value instanceof Map ? [...value.keys()] : value)));
  return JSON.parse(redact(JSON.stringify(redactFields(plain)))) as object; // what was an object before
}

function placeOf(url: string): string {
  const parsed = URL.parse(url);
  return parsed === null ? 'set' : `${parsed.host}${parsed.pathname}`;
}
