import type { SandboxObservation } from '../driver.ts';
import type { DockerContext } from './context.ts';
import { exitReport } from './exit-report.ts';
import { unexpectedAnswer } from './failures.ts';
import { containerRef, INSTALLATION_LABEL, parseLabels } from './profile.ts';
import { type ContainerDetails, type ListedContainer, parseContainer, parseContainers } from './wire.ts';

export async function inspectContainer(
  docker: DockerContext,
  nameOrId: string,
  signal?: AbortSignal,
): Promise<ContainerDetails | undefined> {
  const answer = await docker.engine.call({ method: 'GET', path: `/containers/${nameOrId}/json`, signal });
  if (answer.status === 404) return undefined;
  if (answer.status !== 200) throw unexpectedAnswer('inspect a sandbox', answer);
  return parseContainer(answer.body);
}

export async function observe(docker: DockerContext, id: string, signal?: AbortSignal): Promise<SandboxObservation | undefined> {
  const container = await inspectContainer(docker, id, signal);
  const labels = parseLabels(container?.labels);
  if (container === undefined || labels === undefined) return undefined;
  const state = observedState(container.status);
  const exit = state === 'exited' ? exitReport(container.exitCode, container.isOutOfMemory) : null;
  return { ref: containerRef(labels), labels, state, createdAt: container.createdAt, exit };
}

export interface Listing {
  readonly installation: string;
  readonly signal?: AbortSignal | undefined;
  /** Told all that carries the installation's label, also what is no sandbox. */
  readonly onListed?: (items: readonly ListedContainer[]) => void;
}

/** The engine filters by label; exited ones are looked at one by one, since its list does not tell how they ended. */
export async function listContainers(docker: DockerContext, { installation, signal, onListed }: Listing): Promise<SandboxObservation[]> {
  const filters = JSON.stringify({ label: [`${INSTALLATION_LABEL}=${installation}`] });
  const answer = await docker.engine.call({ method: 'GET', path: '/containers/json', query: { all: 1, filters }, signal });
  if (answer.status !== 200) throw unexpectedAnswer('list the sandboxes', answer);
  const found: SandboxObservation[] = [];
  const items = parseContainers(answer.body);
  onListed?.(items);
  for (const item of items) {
    const labels = parseLabels(item.labels);
    if (labels === undefined) continue;
    const state = observedState(item.status);
    const seen = { ref: containerRef(labels), labels, state, createdAt: item.createdAt, exit: null };
    const closer = state === 'exited' ? await observe(docker, item.id, signal) : seen;
    if (closer !== undefined) found.push(closer);
  }
  return found;
}

export function observedState(status: string): SandboxObservation['state'] {
  switch (status) {
    case 'created':
    case 'paused':
    case 'running':
      return status;
    case 'restarting':
      return 'running';
    default:
      // `exited`, and `removing` and `dead`, which are on their way out.
      return 'exited';
  }
}
