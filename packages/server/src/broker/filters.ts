import { isJsonObject, type JsonObject, type JsonValue } from '../base/json.ts';
import { INSTALLATION_LABEL } from '../runtime/docker/profile.ts';
import { listOf, objectOf, textsOf } from './fields.ts';
import type { OwnInstallation } from './installation.ts';
import { refusal } from './policy.ts';

const OWN_PREFIX = `${INSTALLATION_LABEL}=`;

/**
 * The filters of a listing, made anew. Labels all have to fit, so with the installation's among them the engine tells
 * of nobody else's. The wish has to name it, and it has to be the one that is served.
 */
export function ownFilters(text: string | undefined, own: OwnInstallation, allowed: readonly string[] = []): string {
  const sent = parse(text);
  for (const name of Object.keys(sent)) if (![...allowed, 'label'].includes(name)) throw refusal(`the filter "${name}" is not used here`);
  const labels = sent.label === undefined ? [] : textsOf(sent.label, 'the filter label');
  const [first, ...others] = labels.filter((label) => label.startsWith(OWN_PREFIX)).map((label) => label.slice(OWN_PREFIX.length));
  if (first === undefined || others.length > 0) throw refusal('the filter does not name one installation');
  if (!own.claim(first)) throw refusal('the filter names another installation than the one that is served');
  return JSON.stringify({ ...sent, label: labels });
}

/** Of events: of containers only. For those of one container, which may be gone, nothing says whose it was but the label that is added. */
export function eventFilters(text: string | undefined, own: OwnInstallation): string {
  const sent = parse(text);
  const names = sent.event === undefined ? [] : textsOf(sent.event, 'the filter event');
  if (!names.every((name) => /^[a-z]{2,20}$/.test(name))) throw refusal('the filter event names none');
  if (textsOf(sent.type, 'the filter type').join() !== 'container') throw refusal('only events of containers are told');
  const ids = sent.container === undefined ? undefined : textsOf(sent.container, 'the filter container');
  if (ids?.every((id) => /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(id)) === false) throw refusal('the filter container is none');
  if (ids === undefined) return ownFilters(text, own, ['type', 'event']);
  const labels = sent.label === undefined ? [] : textsOf(sent.label, 'the filter label');
  if (labels.length > 0) return ownFilters(text, own, ['type', 'event', 'container']);
  if (own.name() === undefined) throw refusal('no installation is known yet whose events these could be');
  const label = [`${OWN_PREFIX}${own.name()}`];
  return ownFilters(JSON.stringify({ ...sent, label }), own, ['type', 'event', 'container']);
}

function parse(text: string | undefined): JsonObject {
  const value = parseJson(text ?? '{}');
  const sent = objectOf(value, 'filters');
  for (const [name, one] of Object.entries(sent)) if (isJsonObject(one)) throw refusal(`the filter "${name}" is no list`);
  for (const one of Object.values(sent)) listOf(one, 'a filter');
  return sent;
}

export function parseJson(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text) as JsonValue; // what JSON.parse makes
  } catch {
    return undefined;
  }
}
