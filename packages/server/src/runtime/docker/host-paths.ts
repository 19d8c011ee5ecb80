import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { PlatformError } from '../../base/errors.ts';
import { asJsonObject, isJsonObject, type JsonValue } from '../../base/json.ts';
import type { SandboxMount } from '../driver.ts';
import type { Engine } from './engine.ts';
import { unexpectedAnswer } from './failures.ts';

/**
 * A server in a container sees its files by other paths than the engine, which mounts by those of its own host. Here
 * the one become the other. A server on the host gets every path back as it is.
 */
export interface HostPaths {
  /** Throws `config_invalid` for a data directory that no mount keeps, and `sandbox_start_failed` for another path that the host has not got. */
  onHost(place: string, signal?: AbortSignal): Promise<string>;
  /** The same spec with its mounts as the host has them. */
  specOnHost<T extends { readonly mounts: readonly SandboxMount[] }>(spec: T): Promise<T>;
  /** In words, where the data directory lies; undefined outside of containers. */
  describe(signal?: AbortSignal): Promise<string | undefined>;
}

export interface HostPathOptions {
  readonly engine: Engine;
  readonly dataDir?: string | undefined;
  readonly hostDataDir?: string | undefined;
  /** Where the kernel lists this process's mounts; tests have their own. */
  readonly mountInfo?: string;
}

/** A directory of ours, and where the engine's host has it. */
interface Place {
  readonly own: string;
  readonly host: string;
}

/** Undefined: nothing is to be done. */
type Places = readonly Place[] | undefined;

export function createHostPaths(options: HostPathOptions): HostPaths {
  const { dataDir, hostDataDir } = options;
  let found: Promise<Places> | undefined;

  function places(signal: AbortSignal | undefined): Promise<Places> {
    if (dataDir === undefined) return Promise.resolve(undefined);
    if (hostDataDir !== undefined) return Promise.resolve(hostDataDir === dataDir ? undefined : [{ own: dataDir, host: hostDataDir }]);
    found ??= detect(options, dataDir, signal).catch((error: unknown) => {
      // The engine may answer the next time.
      found = undefined;
      throw error;
    });
    return found;
  }

  const paths: HostPaths = {
    async onHost(place, signal) {
      const all = await places(signal);
      if (all === undefined) return place;
      const known = translate(all, place);
      if (known !== undefined) return known;
      // With a directory that was named, the operator sees to it that all else has the same path on both sides.
      if (hostDataDir !== undefined) return place;
      throw new PlatformError('sandbox_start_failed', {
        detail: `${place} is inside the server's own container, where the engine cannot mount it from. Mount it into the server's container from the host.`,
      });
    },
    async specOnHost(spec) {
      const mounts: SandboxMount[] = [];
      for (const mount of spec.mounts) mounts.push({ ...mount, hostPath: await paths.onHost(mount.hostPath) });
      return { ...spec, mounts };
    },
    async describe(signal) {
      const all = await places(signal);
      if (all === undefined || dataDir === undefined) return undefined;
      return `${dataDir} is ${translate(all, dataDir)} on the host`;
    },
  };
  return paths;
}

async function detect({ engine, mountInfo }: HostPathOptions, dataDir: string, signal: AbortSignal | undefined): Promise<Places> {
  const id = await ownContainer(mountInfo ?? '/proc/self/mountinfo');
  if (id === undefined) return undefined;
  const answer = await engine.call({ method: 'GET', path: `/containers/${id}/json`, signal });
  // Another engine's container, such as a machine of a CI, with this engine inside: then both see the same files.
  if (answer.status === 404) return undefined;
  if (answer.status === 403) throw notKept(dataDir);
  if (answer.status !== 200) throw unexpectedAnswer("look at the server's own container", answer);
  const { Mounts: mounts } = asJsonObject(answer.body);
  const places = Array.isArray(mounts) ? mounts.flatMap(parsePlace) : [];
  if (translate(places, dataDir) === undefined) throw notKept(dataDir);
  return places;
}

function notKept(dataDir: string): PlatformError {
  return new PlatformError('config_invalid', {
    detail: `DATA_DIR: ${dataDir} lies in the server's own container: it would be gone with it, and no sandbox could mount from it. Mount a volume or a directory of the host there, such as \`-v cloister-data:${dataDir}\`, and give the broker the same; or set HOST_DATA_DIR to where the engine's host has it.`,
  });
}

/** The engine mounts files of its own into each container, from a directory that is named after the container. */
async function ownContainer(mountInfo: string): Promise<string | undefined> {
  // Not Linux, then.
  const lines = await readFile(mountInfo, 'utf8').catch(() => '');
  for (const line of lines.split('\n')) {
    const [, , , root = '', target = ''] = line.split(' ');
    const id = /\/([0-9a-f]{64})\//.exec(root)?.[1];
    if (id !== undefined && ['/etc/hostname', '/etc/hosts', '/etc/resolv.conf'].includes(target)) return id;
  }
  return undefined;
}

/** Only what outlives the container counts. */
function parsePlace(value: JsonValue): Place[] {
  const { Type: type, Source: host, Destination: own } = isJsonObject(value) ? value : {};
  if ((type !== 'bind' && type !== 'volume') || typeof host !== 'string' || host === '' || typeof own !== 'string') return [];
  return [{ own, host }];
}

function translate(places: readonly Place[], place: string): string | undefined {
  const [best] = places.filter(({ own }) => isWithin(place, own)).sort((a, b) => b.own.length - a.own.length);
  return best === undefined ? undefined : path.join(best.host, path.relative(best.own, place));
}

function isWithin(place: string, root: string): boolean {
  const relative = path.relative(root, place);
  return relative === '' || (relative !== '..' && !relative.startsWith('../') && !path.isAbsolute(relative));
}
