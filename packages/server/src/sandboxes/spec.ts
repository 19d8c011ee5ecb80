import type { JsonObject } from '../base/json.ts';
import { SANDBOX_GATEWAY_DIRECTORY, SANDBOX_GATEWAY_PORT, SANDBOX_HOME, SANDBOX_WORKSPACE } from '../harness/harness.ts';
import type { SandboxLabels, SandboxMount, SandboxSpec } from '../runtime/driver.ts';
import { type SessionDirectories, sandboxUser } from './directories.ts';
import { parseTemplate } from './template.ts';

export interface SpecInput {
  readonly labels: SandboxLabels;
  /** The environment's definition, as the session keeps it. */
  readonly environment: JsonObject;
  /** The image of the agent program, for an environment that names none. */
  readonly image: string;
  readonly launch: { readonly argv: readonly string[]; readonly env: Readonly<Record<string, string>> };
  readonly directories: SessionDirectories;
  readonly socketDirectory: string;
  /** Mounts that have been checked; the environment's own words never get here. */
  readonly extraMounts?: readonly SandboxMount[];
  readonly runtimeClass?: string | undefined;
}

/**
 * What the driver is told to make. The one place where what a tenant wrote meets what a sandbox is: the environment
 * decides on image, variables, memory, CPUs and processes, and on nothing else.
 */
export function buildSpec(input: SpecInput): SandboxSpec {
  const template = parseTemplate(input.environment);
  return {
    labels: input.labels,
    image: template.image ?? input.image,
    argv: input.launch.argv,
    env: {
      ...template.env,
      ...input.launch.env,
      HOME: SANDBOX_HOME,
      CLOISTER_GATEWAY_PORT: String(SANDBOX_GATEWAY_PORT),
      CLOISTER_GATEWAY_SOCKET: `${SANDBOX_GATEWAY_DIRECTORY}/gateway.sock`,
      ...(template.network.isUnrestricted || template.network.allowedHosts.length > 0 ? proxyVariables() : {}),
      // V8 takes its limit from the host's memory and would be killed long before it collects.
      NODE_OPTIONS: `--max-old-space-size=${Math.floor((template.memoryBytes / 1024 ** 2) * 0.75)}`,
    },
    cwd: SANDBOX_WORKSPACE,
    ...sandboxUser(),
    memoryBytes: template.memoryBytes,
    cpus: template.cpus,
    pids: template.pids,
    mounts: [
      { hostPath: input.directories.workspace, path: SANDBOX_WORKSPACE, isReadOnly: false },
      { hostPath: input.directories.home, path: SANDBOX_HOME, isReadOnly: false },
      { hostPath: input.socketDirectory, path: SANDBOX_GATEWAY_DIRECTORY, isReadOnly: true },
      ...(input.extraMounts ?? []),
    ],
    tmpBytes: Math.min(256 * 1024 ** 2, Math.floor(template.memoryBytes / 4)),
    ...(input.runtimeClass === undefined ? {} : { runtimeClass: input.runtimeClass }),
  };
}

/** Tells programs that honour a proxy where the allowed hosts can be reached. */
function proxyVariables(): Record<string, string> {
  const proxy = `http://127.0.0.1:${SANDBOX_GATEWAY_PORT}`;
  const local = '127.0.0.1,localhost';
  return {
    HTTP_PROXY: proxy,
    HTTPS_PROXY: proxy,
    http_proxy: proxy,
    https_proxy: proxy,
    NO_PROXY: local,
    no_proxy: local,
    NODE_USE_ENV_PROXY: '1',
  };
}
