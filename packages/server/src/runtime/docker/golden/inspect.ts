import { isJsonObject, type JsonObject, type JsonValue } from '../../../base/json.ts';

/** Fields that say which container it is, not what kind; `HostConfig` and `Config` are held to every field but these. */
const WHICH = [
  'Id',
  'Created',
  'State',
  'ResolvConfPath',
  'HostnamePath',
  'HostsPath',
  'LogPath',
  'GraphDriver',
  'ImageManifestDescriptor',
];

/**
 * An inspect in a form to compare: without what differs from container to container and from engine to engine. A field
 * that an engine leaves out and another sends empty is the same; a field that is there and not expected never is.
 */
export function comparable(inspect: JsonObject, names: Readonly<Record<string, string>>): JsonObject {
  const kept = Object.fromEntries(Object.entries(inspect).filter(([key]) => !WHICH.includes(key)));
  const named = Object.entries(names).reduce((text, [from, to]) => text.replaceAll(from, to), JSON.stringify(kept));
  return pruned(JSON.parse(named) as JsonObject); // what was an object still is one
}

function pruned(object: JsonObject): JsonObject {
  const entries = Object.entries(object).map(([key, value]): [string, JsonValue] => [key, prunedValue(value)]);
  return Object.fromEntries(entries.filter(([, value]) => !isUnset(value)));
}

function prunedValue(value: JsonValue): JsonValue {
  if (isJsonObject(value)) return pruned(value);
  return Array.isArray(value) ? value.map((item: JsonValue) => prunedValue(item)) : value;
}

function isUnset(value: JsonValue): boolean {
  if (value === null || value === false || value === 0 || value === '') return true;
  if (Array.isArray(value)) return value.every((one: JsonValue) => isUnset(one));
  return isJsonObject(value) && Object.keys(value).length === 0;
}

/** What another policy's container has otherwise: pointer → value, null for a field that is gone. */
export function differences(base: JsonValue | undefined, other: JsonValue | undefined, at = ''): Record<string, JsonValue> {
  if (JSON.stringify(base) === JSON.stringify(other)) return {};
  if (!isJsonObject(base) || !isJsonObject(other)) return { [at]: other ?? null };
  const keys = [...new Set([...Object.keys(base), ...Object.keys(other)])].sort();
  return Object.assign({}, ...keys.map((key) => differences(base[key], other[key], `${at}/${key}`))) as Record<string, JsonValue>; // of such records
}
