import { asJsonObject, isJsonObject, type JsonObject, type JsonValue } from '../base/json.ts';
import { refusal } from './policy.ts';

/** Readers of what a caller sent. Each takes what it expects and refuses everything else by the field's name. */
type Field = JsonValue | undefined;

export function objectOf(value: Field, name: string): JsonObject {
  if (!isJsonObject(value)) throw refusal(`${name} is no object`);
  return value;
}

export function textOf(value: Field, name: string): string {
  if (typeof value !== 'string' || value.includes('\0')) throw refusal(`${name} is no text`);
  return value;
}

export function wholeOf(value: Field, name: string, range: { readonly min: number; readonly max: number }): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < range.min || value > range.max)
    throw refusal(`${name} is no whole number from ${range.min} to ${range.max}`);
  return value;
}

export function listOf(value: Field, name: string): readonly JsonValue[] {
  if (!Array.isArray(value)) throw refusal(`${name} is no list`);
  return value;
}

export function textsOf(value: Field, name: string): readonly string[] {
  return listOf(value, name).map((one) => textOf(one, name));
}

/** `NAME=value` lines as a record. A repeated name would be lost on the way, and the shape then differs. */
export function variablesOf(value: Field, name: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    textsOf(value, name).map((line) => {
      const at = line.indexOf('=');
      if (at <= 0) throw refusal(`${name} has a line without a name`);
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
}

/** Where two values differ first, such as `HostConfig.Privileged`; undefined when they are equal. */
export function firstDifference(sent: Field, expected: Field, place = ''): string | undefined {
  if (Array.isArray(sent) && Array.isArray(expected)) {
    if (sent.length !== expected.length) return place;
    return firstOf(sent.keys(), (index) => firstDifference(sent[index], expected[index], `${place}[${index}]`));
  }
  if (isJsonObject(sent) && isJsonObject(expected)) {
    const names = new Set([...Object.keys(sent), ...Object.keys(expected)]);
    return firstOf(names, (name) => {
      const inner = place === '' ? name : `${place}.${name}`;
      if (Object.hasOwn(sent, name) !== Object.hasOwn(expected, name)) return inner;
      return firstDifference(asJsonObject(sent)[name], asJsonObject(expected)[name], inner);
    });
  }
  return sent === expected ? undefined : place;
}

function firstOf<T>(items: Iterable<T>, look: (item: T) => string | undefined): string | undefined {
  for (const item of items) {
    const found = look(item);
    if (found !== undefined) return found;
  }
  return undefined;
}
