import { PROBLEMS } from '@cloister/api';
import { isPlatformError, PlatformError } from '../../base/errors.ts';
import type { RuntimeProbe } from '../driver.ts';
import type { DockerContext } from './context.ts';
import { describeEndpoint, isRemote } from './endpoint.ts';
import { unexpectedAnswer } from './failures.ts';
import { engineInfo, engineVersion } from './wire.ts';

/** Asks whether the engine can run sandboxes at all, and names what of the profile it cannot enforce. */
export async function probeEngine(docker: DockerContext, signal: AbortSignal | undefined): Promise<RuntimeProbe> {
  try {
    const address = await docker.engine.address(signal);
    const [version, info] = await Promise.all([read(docker, '/version', signal), read(docker, '/info', signal)]);
    const { Version, Platform } = engineVersion.parse(version);
    const engine = engineInfo.parse(info);
    if (engine.OSType !== 'linux')
      return { ok: false, detail: `The engine runs ${engine.OSType} containers.`, fix: 'Switch it to Linux containers.' };
    const missing = [
      engine.MemoryLimit ? undefined : 'memory limits',
      engine.PidsLimit ? undefined : 'process limits',
      engine.CpuCfsQuota ? undefined : 'CPU limits',
      engine.SecurityOptions?.some((option) => option.includes('seccomp')) === false ? 'seccomp filters' : undefined,
    ].filter((name) => name !== undefined);
    const weak = missing.length === 0 ? '' : `; it cannot enforce ${missing.join(', ')}`;
    const far = isRemote(address.endpoint) ? '; workspaces are bind mounts, so it must run on this host' : '';
    const name = Platform?.Name || 'Container engine';
    return {
      ok: true,
      version: Version,
      detail: `${name} ${Version}, API ${address.apiVersion}, ${describeEndpoint(address.endpoint)}${weak}${far}`,
    };
  } catch (error) {
    if (signal?.aborted) return { ok: false, detail: 'The question to the engine was given up.', fix: 'Ask again.' };
    if (!isPlatformError(error)) docker.log.warn({ err: error }, "the engine's answer was not understood");
    const known = isPlatformError(error)
      ? error
      : new PlatformError('runtime_unreachable', { detail: "The engine's answer was not understood." });
    return { ok: false, detail: known.detail, fix: PROBLEMS[known.code].fix };
  }
}

async function read(docker: DockerContext, path: string, signal: AbortSignal | undefined): Promise<unknown> {
  const answer = await docker.engine.call({ method: 'GET', path, signal });
  if (answer.status !== 200) throw unexpectedAnswer(`GET ${path}`, answer);
  return answer.body;
}
