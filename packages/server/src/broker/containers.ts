import { asJsonObject, type JsonObject, type JsonValue, toJsonObject } from '../base/json.ts';
import { KEY_LABEL as HOLDER_LABEL, holderBody, holderName } from '../runtime/docker/holders-container.ts';
import { containerBody, containerName, INSTALLATION_LABEL, NODE_LABEL, parseLabels, SPEC_LABEL } from '../runtime/docker/profile.ts';
import { SERVICE_LABEL, serviceBody, serviceContainerName } from '../runtime/docker/service-profile.ts';
import { RELAY_LABEL, relayBody, relayName } from '../runtime/docker/service-relay.ts';
import type { SandboxMount, SandboxSpec } from '../runtime/driver.ts';
import type { ServiceSpec } from '../runtime/services.ts';
import { firstDifference, listOf, objectOf, textOf, textsOf, variablesOf, wholeOf } from './fields.ts';
import type { OwnInstallation } from './installation.ts';
import { checkMounts } from './mounts.ts';
import type { Looked } from './ownership.ts';
import { type MountDeps, refusal } from './policy.ts';
import { aliasesOf, joinedRelay, relayShape, serviceLabelsOf } from './relays.ts';

export interface ContainerDeps extends MountDeps {
  readonly own: OwnInstallation;
  readonly apiVersion: string;
  /** Asks the engine about a container. */
  readonly look: (id: string) => Promise<Looked>;
}

/**
 * Checks the wish for a container by making it anew: what may vary is read out of it, checked, and put into the
 * profile that the driver itself uses; the outcome has to be the wish, field by field. What goes to the engine is the
 * outcome. So there is one declaration of what a container of ours is, and nothing else can be asked for.
 */
export async function checkContainer(deps: ContainerDeps, name: string | undefined, sent: JsonObject): Promise<JsonObject> {
  const labels = objectOf(sent.Labels, 'Labels');
  const { expected, expectedName, mounts } = Object.hasOwn(labels, RELAY_LABEL)
    ? relay(deps, sent)
    : Object.hasOwn(labels, SERVICE_LABEL)
      ? await service(deps, sent)
      : Object.hasOwn(labels, HOLDER_LABEL)
        ? holder(deps, sent)
        : await sandbox(deps, sent);
  const difference = firstDifference(sent, expected);
  if (difference !== undefined) throw refusal(`the container's ${difference} is not what Cloister's containers have`);
  if (name !== expectedName) throw refusal('the name is not the one that follows from the labels');
  await checkMounts(deps, mounts);
  return expected;
}

interface Expected {
  readonly expected: JsonObject;
  readonly expectedName: string;
  readonly mounts: readonly SandboxMount[];
}

/** A container that has only a network namespace, for a sandbox to come. */
function holder(deps: ContainerDeps, sent: JsonObject): Expected {
  const labels = objectOf(sent.Labels, 'Labels');
  const read = (name: string) => textOf(labels[name], `Labels.${name}`);
  const owner = { installation: read(INSTALLATION_LABEL), node: read(NODE_LABEL), key: read(HOLDER_LABEL) };
  requireOwn(deps, owner.installation);
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(owner.key)) throw refusal(`Labels.${HOLDER_LABEL} is no key`);
  const image = imageName(textOf(sent.Image, 'Image'));
  const expected = toJsonObject(holderBody(owner, { image, apiVersion: deps.apiVersion }));
  return { expected, expectedName: holderName(owner.key), mounts: [] };
}

/** The holder whose network a sandbox joins, which has to be one and ours; undefined for a network of its own. */
async function joinedHolder(deps: ContainerDeps, sent: JsonObject): Promise<string | undefined> {
  const mode = textOf(objectOf(sent.HostConfig, 'HostConfig').NetworkMode, 'HostConfig.NetworkMode');
  if (!mode.startsWith('container:')) return undefined;
  const id = mode.slice('container:'.length);
  const looked = /^[0-9a-f]{64}$/.test(id) ? await deps.look(id) : undefined;
  const isHolder = looked?.type === 'own' && Object.hasOwn(asJsonObject(asJsonObject(looked.details.Config).Labels), HOLDER_LABEL);
  if (!isHolder) throw refusal('HostConfig.NetworkMode names no network holder of this installation');
  return id;
}

async function sandbox(deps: ContainerDeps, sent: JsonObject): Promise<Expected> {
  const sentLabels = objectOf(sent.Labels, 'Labels');
  const labels = parseLabels(
    Object.fromEntries(Object.entries(sentLabels).map(([name, value]) => [name, textOf(value, `Labels.${name}`)])),
  );
  if (labels === undefined) throw refusal("the container has not got a sandbox's labels");
  requireOwn(deps, labels.installation);
  const [uid, gid] = userOf(sent);
  const spec: SandboxSpec = {
    labels,
    argv: textsOf(sent.Entrypoint, 'Entrypoint'),
    env: variablesOf(sent.Env, 'Env'),
    cwd: textOf(sent.WorkingDir, 'WorkingDir'),
    uid,
    gid,
    ...common(deps, sent),
  };
  if (spec.argv.length === 0) throw refusal('Entrypoint is empty');
  const made = toJsonObject(containerBody(spec, deps.apiVersion, undefined, await joinedHolder(deps, sent)));
  // Told by the caller for himself: whether the same was asked for before.
  const hash = textOf(sentLabels[SPEC_LABEL], `Labels.${SPEC_LABEL}`);
  if (!/^[0-9a-f]{64}$/.test(hash)) throw refusal(`Labels.${SPEC_LABEL} is no hash`);
  const expected = { ...made, Labels: { ...objectOf(made.Labels, 'Labels'), [SPEC_LABEL]: hash } };
  return { expected, expectedName: containerName(labels), mounts: spec.mounts };
}

async function service(deps: ContainerDeps, sent: JsonObject): Promise<Expected> {
  const [uid] = userOf(sent);
  const labels = serviceLabelsOf(sent);
  requireOwn(deps, labels.installation);
  const joined = await joinedRelay(deps, sent, labels);
  const spec: ServiceSpec = {
    labels: { ...labels, aliases: aliasesOf(sent, labels) },
    argv: sent.Entrypoint === undefined ? undefined : textsOf(sent.Entrypoint, 'Entrypoint'),
    env: variablesOf(sent.Env, 'Env'),
    uid,
    ...common(deps, sent),
    port: joined === undefined ? portOf(deps, sent) : { inside: 0, host: 0, address: '' },
    mayReachOut: joined === undefined,
    relayDirectory: '',
  };
  const expected = toJsonObject(serviceBody(spec, deps.apiVersion, joined));
  return { expected, expectedName: serviceContainerName(spec.labels), mounts: spec.mounts };
}

/** One of the two that bring a service its port; the image is any that has node, its program is ours. */
function relay(deps: ContainerDeps, sent: JsonObject): Expected {
  const labels = serviceLabelsOf(sent);
  requireOwn(deps, labels.installation);
  const [mount] = listOf(objectOf(sent.HostConfig, 'HostConfig').Mounts, 'HostConfig.Mounts').map((one) => mountOf(one));
  if (mount === undefined) throw refusal('a relay mounts one directory');
  const shape = relayShape(sent, () => portOf(deps, sent));
  const spec = { labels, port: shape.port, relayDirectory: mount.hostPath };
  const image = imageName(textOf(sent.Image, 'Image'));
  const expected = toJsonObject(relayBody(spec, { side: shape.side, image, apiVersion: deps.apiVersion }));
  return { expected, expectedName: relayName(serviceContainerName(labels), shape.side), mounts: [mount] };
}

function common({ policy }: ContainerDeps, sent: JsonObject) {
  const host = objectOf(sent.HostConfig, 'HostConfig');
  const runtime = host.Runtime === undefined ? undefined : textOf(host.Runtime, 'HostConfig.Runtime');
  if (runtime !== undefined && !policy.runtimes.includes(runtime))
    throw refusal(`the OCI runtime "${runtime}" is not among ${policy.runtimes.join(', ')}`);
  const memoryBytes = wholeOf(host.Memory, 'HostConfig.Memory', { min: 1, max: policy.maxMemoryBytes });
  const cpus = wholeOf(host.NanoCpus, 'HostConfig.NanoCpus', { min: 1, max: Math.round(policy.maxCpus * 1e9) }) / 1e9;
  return {
    image: imageName(textOf(sent.Image, 'Image')),
    memoryBytes,
    cpus,
    pids: wholeOf(host.PidsLimit, 'HostConfig.PidsLimit', { min: 1, max: policy.maxPids }),
    tmpBytes: tmpSize(host, policy.maxMemoryBytes),
    mounts: listOf(host.Mounts, 'HostConfig.Mounts').map((one) => mountOf(one)),
    ...(runtime === undefined ? {} : { runtimeClass: runtime }),
  };
}

const FIRST_USER = 1000;
const LAST_USER = 65_534;

/** Neither root nor an account of the system: one such group can own the engine's socket. */
function userOf(sent: JsonObject): readonly [number, number] {
  const [, uid, gid] = /^([0-9]{1,9}):([0-9]{1,9})$/.exec(textOf(sent.User, 'User')) ?? [];
  const ids = [Number(uid), Number(gid)] as const;
  if (!ids.every((id) => id >= FIRST_USER && id <= LAST_USER))
    throw refusal(`User is not from ${FIRST_USER} to ${LAST_USER}, as user:group`);
  return ids;
}

function tmpSize(host: JsonObject, max: number): number {
  const options = textOf(objectOf(host.Tmpfs, 'HostConfig.Tmpfs')['/tmp'], 'HostConfig.Tmpfs');
  const size = Number(/,size=(\d{1,15}),/.exec(options)?.[1]);
  return wholeOf(size, 'the size of /tmp', { min: 1, max });
}

function mountOf(value: JsonValue): SandboxMount {
  const mount = objectOf(value, 'HostConfig.Mounts');
  return {
    hostPath: textOf(mount.Source, 'the source of a mount'),
    path: textOf(mount.Target, 'the target of a mount'),
    isReadOnly: mount.ReadOnly === true,
  };
}

function portOf({ policy }: ContainerDeps, sent: JsonObject): ServiceSpec['port'] {
  const [inside = ''] = Object.keys(objectOf(sent.ExposedPorts, 'ExposedPorts'));
  const bindings = objectOf(objectOf(sent.HostConfig, 'HostConfig').PortBindings, 'HostConfig.PortBindings');
  const binding = objectOf(listOf(bindings[inside], 'HostConfig.PortBindings')[0], 'HostConfig.PortBindings');
  const address = textOf(binding.HostIp, 'HostIp');
  if (address !== policy.bind) throw refusal(`services publish their port on ${policy.bind} only`);
  const { first: min, last: max } = policy.ports;
  const host = wholeOf(Number(textOf(binding.HostPort, 'HostPort')), 'HostPort', { min, max });
  return { inside: wholeOf(Number(inside.replace(/\/tcp$/, '')), 'ExposedPorts', { min: 1, max: 65_535 }), host, address };
}

export function imageName(name: string): string {
  if (name.length > 500 || !/^[A-Za-z0-9][A-Za-z0-9._:@/-]*$/.test(name) || name.includes('..') || name.includes('//'))
    throw refusal('the name of the image is none');
  return name;
}

function requireOwn({ own }: ContainerDeps, installation: string): void {
  if (!own.claim(installation)) throw refusal('the container belongs to another installation than the one that is served');
}
