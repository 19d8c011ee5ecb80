import { type JsonObject, toJsonObject } from '../base/json.ts';
import { INSTALLATION_LABEL } from '../runtime/docker/profile.ts';
import { networkBody } from '../runtime/docker/service-network.ts';
import { networkName, SERVICE_LABEL } from '../runtime/docker/service-profile.ts';
import { firstDifference, listOf, objectOf, textOf, wholeOf } from './fields.ts';
import type { OwnInstallation } from './installation.ts';
import { refusal } from './policy.ts';

/** Checks the wish for a service's network as `containers.ts` does that for a container: by making it anew. */
export function checkNetwork(own: OwnInstallation, sent: JsonObject): JsonObject {
  const labels = objectOf(sent.Labels, 'Labels');
  const installation = textOf(labels[INSTALLATION_LABEL], `Labels.${INSTALLATION_LABEL}`);
  const service = textOf(labels[SERVICE_LABEL], `Labels.${SERVICE_LABEL}`);
  if (!own.claim(installation)) throw refusal('the network belongs to another installation than the one that is served');
  const mayReachOut = Object.keys(objectOf(sent.Options, 'Options')).length === 0;
  const spec = { labels: { installation, service, tenant: '', incarnation: '' }, mayReachOut };
  const expected = toJsonObject(networkBody(spec, { name: networkName(spec.labels), slot: slotOf(sent) }));
  const difference = firstDifference(sent, expected);
  if (difference !== undefined) throw refusal(`the network's ${difference} is not what Cloister's networks have`);
  return expected;
}

function slotOf(sent: JsonObject): number {
  const config = objectOf(listOf(objectOf(sent.IPAM, 'IPAM').Config, 'IPAM.Config')[0], 'IPAM.Config');
  const [, third, fourth] = /^198\.19\.(\d{1,3})\.(\d{1,3})\/29$/.exec(textOf(config.Subnet, 'IPAM.Config.Subnet')) ?? [];
  return wholeOf((Number(third) * 256 + Number(fourth)) / 8, 'IPAM.Config.Subnet', { min: 0, max: 8191 });
}
