import type { ServiceObservation, ServiceRef } from '../services.ts';
import type { DockerContext } from './context.ts';
import { wasOutOfMemory } from './exit.ts';
import { exitReport } from './exit-report.ts';
import { unexpectedAnswer } from './failures.ts';
import { inspectContainer, observedState } from './inspect.ts';
import { serviceFilter, serviceRef } from './service-profile.ts';
import { RELAY_LABEL, RELAY_SIDES } from './service-relay.ts';
import { type ListedContainer, parseContainers, parseNetworkHolder } from './wire.ts';

/** A service's container with its relays, as far as they are there. */
interface Group {
  readonly ref: ServiceRef;
  main: ListedContainer | undefined;
  readonly relays: ListedContainer[];
}

export async function listServices(
  docker: DockerContext,
  installation: string,
  signal: AbortSignal | undefined,
): Promise<ServiceObservation[]> {
  const query = { all: 1, filters: serviceFilter(installation) };
  const answer = await docker.engine.call({ method: 'GET', path: '/containers/json', query, signal });
  if (answer.status !== 200) throw unexpectedAnswer('list the services', answer);
  const found: ServiceObservation[] = [];
  for (const group of grouped(installation, parseContainers(answer.body))) {
    const seen = await observe(docker, group, signal);
    if (seen !== undefined) found.push(seen);
  }
  return found;
}

function grouped(installation: string, items: readonly ListedContainer[]): Iterable<Group> {
  const groups = new Map<string, Group>();
  for (const item of items) {
    const ref = serviceRef(installation, item.labels);
    if (ref === undefined || item.status === 'removing') continue;
    const group = groups.get(ref.handle) ?? { ref, main: undefined, relays: [] };
    groups.set(ref.handle, group);
    if (Object.hasOwn(item.labels, RELAY_LABEL)) group.relays.push(item);
    else group.main = item;
  }
  return groups.values();
}

async function isRelayed(
  docker: DockerContext,
  main: ListedContainer,
  relays: readonly ListedContainer[],
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (relays.length > 0 || main.networkMode !== '') return relays.length > 0 || main.networkMode.startsWith('container:');
  // This engine's list does not tell, and both may have been removed.
  const answer = await docker.engine.call({ method: 'GET', path: `/containers/${main.id}/json`, signal });
  return answer.status === 200 && parseNetworkHolder(answer.body) !== undefined;
}

async function observe(
  docker: DockerContext,
  { ref, main, relays }: Group,
  signal: AbortSignal | undefined,
): Promise<ServiceObservation | undefined> {
  if (main === undefined) return { ref, state: 'missing', exit: null, isCutOff: false };
  const state = observedState(main.status);
  const isCutOff =
    (await isRelayed(docker, main, relays, signal)) && relays.filter(({ status }) => status === 'running').length < RELAY_SIDES.length;
  if (state !== 'exited') return { ref, state, exit: null, isCutOff };
  // The list does not tell how it ended.
  const closer = await inspectContainer(docker, main.id, signal);
  if (closer === undefined) return undefined;
  const isOutOfMemory = await wasOutOfMemory(docker, main.id, closer.exitCode);
  return { ref, state, exit: exitReport(closer.exitCode, isOutOfMemory), isCutOff };
}
