import { chown, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { isPlatformError, PlatformError } from '../base/errors.ts';
import { asJsonObject, type JsonObject, type JsonValue } from '../base/json.ts';
import type { RuntimeDriver, SandboxMount } from '../runtime/driver.ts';
import { sandboxUser } from './directories.ts';
import { type AllowList, isWithin, type MountRequest, readAllowList, resolveSource } from './mounts/allow-list.ts';

/** What an environment may ask for beyond the usual sandbox: other folders, another OCI runtime. */
export interface Extras {
  /** Throws `mount_refused` or `runtime_class_missing` for a configuration that could not be had now. */
  check(config: JsonObject): Promise<void>;
  /** Checks again, at each start, and answers what the sandbox gets. */
  resolve(owner: { readonly tenantId: string; readonly agentId: string; readonly environment: JsonObject }): Promise<ResolvedExtras>;
}

export interface ResolvedExtras {
  readonly extraMounts: readonly SandboxMount[];
  readonly runtimeClass: string | undefined;
}

export interface ExtrasDeps {
  readonly driver: Pick<RuntimeDriver, 'runtimeClasses'>;
  readonly dataDir: string;
  /** The operator's list of what may be mounted; without one nothing may. */
  readonly mountAllowlist: string | undefined;
  /** The OCI runtimes that may be asked for, the first for all who ask for none. Empty leaves it to the engine. */
  readonly runtimeClasses: readonly string[];
}

/** Those of the OCI runtimes there are that environments may ask for. */
export function offeredClasses(there: readonly string[], allowed: readonly string[]): readonly string[] {
  return there.filter((name) => (allowed.length === 0 ? SAFE_CLASSES.test(name) : allowed.includes(name)));
}

/** Isolate at least as runc does. Others, such as those that hand out graphics cards, the operator has to name. */
const SAFE_CLASSES = /^(runc|crun|youki|runsc(-[a-z]+)?|kata(-[a-z]+)?|io\.containerd\.(runc\.v2|runsc\.v1|kata\.v2))$/;

/** The agent's own folder, kept from session to session, and the tenant's, which its agents only read. */
const OWN_SOURCES = ['memory', 'shared'] as const;

export function createExtras(deps: ExtrasDeps): Extras {
  const resolveClass = (asked: string | undefined) => chooseClass(deps, asked);
  return {
    async check(config) {
      await resolveClass(classOf(config)).catch((error: unknown) => {
        // An engine that is away is no reason to refuse: the start looks again.
        if (!isPlatformError(error, 'runtime_unreachable')) throw error;
      });
      const requests = parseRequests(config);
      checkTargets(requests);
      await eachSource(deps, requests);
    },
    async resolve({ tenantId, agentId, environment }) {
      const config = asJsonObject(environment.config);
      const requests = parseRequests(config);
      checkTargets(requests);
      const sources = await eachSource(deps, requests);
      const extraMounts: SandboxMount[] = [];
      for (const [index, request] of requests.entries()) {
        const hostPath = sources[index] ?? (await ownFolder(deps.dataDir, request, { tenantId, agentId }));
        extraMounts.push({ hostPath, path: request.target, isReadOnly: request.readOnly });
      }
      return { extraMounts, runtimeClass: await resolveClass(classOf(config)) };
    },
  };
}

function classOf(config: JsonObject): string | undefined {
  return typeof config.runtime === 'string' ? config.runtime : undefined;
}

async function chooseClass({ driver, runtimeClasses: allowed }: ExtrasDeps, asked: string | undefined): Promise<string | undefined> {
  const chosen = asked ?? allowed[0];
  if (chosen === undefined) return undefined;
  const offered = offeredClasses((await driver.runtimeClasses?.()) ?? [], allowed);
  if (offered.includes(chosen)) return chosen;
  const choice = offered.length === 0 ? 'There is none to choose from' : `There are: ${offered.join(', ')}`;
  throw new PlatformError('runtime_class_missing', {
    detail: `No runtime "${chosen.slice(0, 80)}" can be had here. ${choice}.`,
    fields: [{ pointer: '/config/runtime', message: offered.length === 0 ? 'leave it out' : `one of ${offered.join(', ')}` }],
  });
}

function parseRequests(config: JsonObject): readonly MountRequest[] {
  if (!Array.isArray(config.mounts)) return [];
  return config.mounts.flatMap((mount: JsonValue) => {
    const { source, target, read_only: readOnly } = asJsonObject(mount);
    return typeof source === 'string' && typeof target === 'string'
      ? [{ source, target, readOnly: source === 'shared' || readOnly !== false }]
      : [];
  });
}

/** Below /mnt alone: nothing of the image and nothing of ours can be covered. */
function checkTargets(requests: readonly MountRequest[]): void {
  for (const [index, { target }] of requests.entries()) {
    const isPlain = /^\/mnt(\/[A-Za-z0-9_][A-Za-z0-9._-]*)+$/.test(target) && target.length <= 200;
    if (!isPlain) throw refused(index, 'target', `"${target.slice(0, 200)}" is no plain path below /mnt`);
    const other = requests.findIndex((one, at) => at !== index && isWithin(target, one.target));
    if (other !== -1) throw refused(index, 'target', `"${target}" is or lies in the target of another mount`);
  }
}

/** For each request the folder on the host, checked; undefined for those that are our own. */
async function eachSource(
  { mountAllowlist, dataDir }: ExtrasDeps,
  requests: readonly MountRequest[],
): Promise<readonly (string | undefined)[]> {
  let list: AllowList | undefined;
  const found: (string | undefined)[] = [];
  for (const [index, request] of requests.entries()) {
    if (isOwn(request.source)) {
      found.push(undefined);
      continue;
    }
    if (mountAllowlist === undefined)
      throw refused(index, 'source', 'this installation allows no extra mounts: MOUNT_ALLOWLIST is not set');
    list ??= await readAllowList(mountAllowlist, dataDir);
    found.push(
      await resolveSource(list, request).catch((error: unknown) =>
        Promise.reject(isPlatformError(error) ? refused(index, 'source', error.detail) : error),
      ),
    );
  }
  return found;
}

function isOwn(source: string): boolean {
  return OWN_SOURCES.some((one) => one === source);
}

function refused(index: number, field: string, why: string): PlatformError {
  return new PlatformError('mount_refused', {
    detail: why.endsWith('.') ? why : `${why}.`,
    fields: [{ pointer: `/config/mounts/${index}/${field}`, message: 'refused' }],
  });
}

/** Below DATA_DIR, by the ids of their owners, which the platform has made. */
async function ownFolder(
  dataDir: string,
  { source }: MountRequest,
  { tenantId, agentId }: { readonly tenantId: string; readonly agentId: string },
): Promise<string> {
  const tenant = path.join(dataDir, 'folders', encodeURIComponent(tenantId));
  const folder = source === 'shared' ? path.join(tenant, 'shared') : path.join(tenant, 'agents', encodeURIComponent(agentId));
  await mkdir(path.dirname(folder), { recursive: true, mode: 0o700 });
  const created = await mkdir(folder, { recursive: true, mode: 0o700 });
  const { uid, gid } = sandboxUser();
  if (created !== undefined && process.getuid?.() === 0) await chown(folder, uid, gid);
  return folder;
}
