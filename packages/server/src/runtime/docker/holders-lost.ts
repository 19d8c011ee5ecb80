import type { DockerContext } from './context.ts';
import { startFailure, unexpectedAnswer } from './failures.ts';
import { inspectContainer } from './inspect.ts';
import { removeContainer } from './lifecycle.ts';
import { HOSTNAME } from './profile.ts';
import { parseMaking, parseNetworkHolder } from './wire.ts';

/**
 * A container that has not run yet, and whose network's holder does not run any more, is made once more with the same
 * name and a network of its own: as `json` says, or else as the engine knows it. False when that is not what it lacks.
 * Its calls are not to be cut: a name without a container, or a container that nobody waits for, would be left.
 */
export async function leaveLostNetwork(docker: DockerContext, name: string, json: object | undefined): Promise<boolean> {
  const seen = await docker.engine.call({ method: 'GET', path: `/containers/${name}/json` });
  if (seen.status === 404) return false;
  if (seen.status !== 200) throw unexpectedAnswer('inspect a sandbox', seen);
  const holder = parseNetworkHolder(seen.body);
  if (holder === undefined || (await inspectContainer(docker, holder))?.isRunning === true) return false;
  const { config, hostConfig } = parseMaking(seen.body);
  await removeContainer(docker, name);
  const known = { ...config, Hostname: HOSTNAME, HostConfig: { ...hostConfig, NetworkMode: 'none' } };
  const answer = await docker.engine.call({ method: 'POST', path: '/containers/create', query: { name }, json: json ?? known });
  if (answer.status !== 201) throw startFailure(answer);
  return true;
}
