import { asJsonObject, type JsonObject } from '../base/json.ts';
import { INSTALLATION_LABEL } from '../runtime/docker/profile.ts';
import { INCARNATION_LABEL, SERVICE_LABEL, serviceLabels, TENANT_LABEL } from '../runtime/docker/service-profile.ts';
import { RELAY_LABEL, type RelaySide } from '../runtime/docker/service-relay.ts';
import type { ServiceLabels, ServiceSpec } from '../runtime/services.ts';
import { objectOf, textOf, textsOf, wholeOf } from './fields.ts';
import type { Looked } from './ownership.ts';
import { refusal } from './policy.ts';

const MAX_ALIASES = 8;

export interface RelayShape {
  readonly side: RelaySide;
  readonly port: ServiceSpec['port'];
}

/** What varies of a relay beside its labels and its directory; `published` reads the port of the outer one. */
export function relayShape(sent: JsonObject, published: () => ServiceSpec['port']): RelayShape {
  const side = textOf(objectOf(sent.Labels, 'Labels')[RELAY_LABEL], `Labels.${RELAY_LABEL}`);
  if (side === 'outer') return { side, port: published() };
  if (side !== 'inner') throw refusal(`Labels.${RELAY_LABEL} is neither inner nor outer`);
  const target = /^127\.0\.0\.1:(\d{1,5})$/.exec(textsOf(sent.Entrypoint, 'Entrypoint').at(-1) ?? '');
  const inside = wholeOf(Number(target?.[1]), 'the port of a relay', { min: 1, max: 65_535 });
  return { side, port: { inside, host: 0, address: '' } };
}

interface JoinDeps {
  readonly look: (id: string) => Promise<Looked>;
}

/** The inner relay whose network a service joins: this very incarnation's; undefined for a network of its own. */
export async function joinedRelay({ look }: JoinDeps, sent: JsonObject, labels: ServiceLabels): Promise<string | undefined> {
  const mode = textOf(objectOf(sent.HostConfig, 'HostConfig').NetworkMode, 'HostConfig.NetworkMode');
  if (!mode.startsWith('container:')) return undefined;
  const id = mode.slice('container:'.length);
  const looked = /^[0-9a-f]{64}$/.test(id) ? await look(id) : undefined;
  const found = looked?.type === 'own' ? asJsonObject(asJsonObject(looked.details.Config).Labels) : {};
  const wanted = { ...serviceLabels(labels), [RELAY_LABEL]: 'inner' };
  if (!Object.entries(wanted).every(([name, value]) => found[name] === value))
    throw refusal("HostConfig.NetworkMode does not name the service's own relay");
  return id;
}

export function serviceLabelsOf(sent: JsonObject): ServiceLabels {
  const labels = objectOf(sent.Labels, 'Labels');
  const read = (name: string) => textOf(labels[name], `Labels.${name}`);
  return {
    installation: read(INSTALLATION_LABEL),
    tenant: read(TENANT_LABEL),
    service: read(SERVICE_LABEL),
    incarnation: read(INCARNATION_LABEL),
  };
}

/** A service's labels beside ours: names of another system's for it, which stand under no name of ours. */
export function aliasesOf(sent: JsonObject, labels: ServiceLabels): Record<string, string> {
  const own = new Set(Object.keys(serviceLabels(labels)));
  const others = Object.entries(objectOf(sent.Labels, 'Labels')).filter(([name]) => !own.has(name));
  if (others.length > MAX_ALIASES) throw refusal('the container has too many labels');
  return Object.fromEntries(
    others.map(([name, value]) => {
      const text = textOf(value, `Labels.${name}`);
      if (!/^clawhq\.[a-z-]{1,40}$/.test(name) || !/^[\w.:-]{1,300}$/.test(text)) throw refusal(`Labels.${name} is no name of a service`);
      return [name, text];
    }),
  );
}
