import { PROBLEMS } from '@cloister/api';
import { isPlatformError, PlatformError } from '../../base/errors.ts';
import type { RuntimeProbe } from '../driver.ts';
import type { DockerContext } from './context.ts';
import { describeEndpoint, isRemote } from './endpoint.ts';
import { unexpectedAnswer } from './failures.ts';
import { type Body, isBrokered, parseEngine, parseRuntimeClasses } from './wire.ts';

/** Asks whether the engine can run sandboxes at all, and names what of the profile it cannot enforce. */
export async function probeEngine(docker: DockerContext, signal: AbortSignal | undefined): Promise<RuntimeProbe> {
  try {
    const address = await docker.engine.address(signal);
    const [version, info] = await Promise.all([read(docker, '/version', signal), read(docker, '/info', signal)]);
    const engine = parseEngine(version, info);
    if (engine.os !== 'linux')
      return { ok: false, detail: `The engine runs ${engine.os} containers.`, fix: 'Switch it to Linux containers.' };
    // Podman names the system it runs on there.
    const name = address.kind === 'docker' ? engine.name : address.quirks.title;
    const weak = engine.missing.length === 0 ? '' : `; it cannot enforce ${engine.missing.join(', ')}`;
    const far = isRemote(address.endpoint) ? '; workspaces are bind mounts, so it must run on this host' : '';
    const brokered = isBrokered(version) ? ' through the socket broker' : '';
    const place = await docker.hostPaths.describe(signal);
    const inside = place === undefined ? '' : `; this server is in a container: ${place}`;
    const detail = `${name} ${engine.version}, API ${address.apiVersion}, ${describeEndpoint(address.endpoint)}${brokered}${weak}${far}${inside}`;
    return { ok: true, version: engine.version, detail };
  } catch (error) {
    if (signal?.aborted) return { ok: false, detail: 'The question to the engine was given up.', fix: 'Ask again.' };
    if (!isPlatformError(error)) docker.log.warn({ err: error }, "the engine's answer was not understood");
    const known = isPlatformError(error)
      ? error
      : new PlatformError('runtime_unreachable', { detail: "The engine's answer was not understood." });
    return { ok: false, detail: known.detail, fix: PROBLEMS[known.code].fix };
  }
}

/** The OCI runtimes that the engine has been told of, by name. */
export async function listRuntimeClasses(docker: DockerContext, signal: AbortSignal | undefined): Promise<readonly string[]> {
  return parseRuntimeClasses(await read(docker, '/info', signal));
}

async function read(docker: DockerContext, path: string, signal: AbortSignal | undefined): Promise<Body> {
  const answer = await docker.engine.call({ method: 'GET', path, signal });
  if (answer.status !== 200) throw unexpectedAnswer(`GET ${path}`, answer);
  return answer.body;
}
