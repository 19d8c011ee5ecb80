import type { JsonObject } from '../base/json.ts';
import { CA_BUNDLE_FILE, CA_FILE } from '../egress/gateway.ts';
import { SANDBOX_GATEWAY_DIRECTORY, SANDBOX_HOME, SANDBOX_WORKSPACE } from '../harness/harness.ts';
import type { SandboxLabels, SandboxMount, SandboxSpec } from '../runtime/driver.ts';
import { type SessionDirectories, sandboxUser } from './directories.ts';
import { gatewayVariables, proxyVariables } from './gateway-variables.ts';
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
      ...gatewayVariables(),
      // Always, since the policy can change while the sandbox lives; and what is refused is told why.
      ...trustVariables(),
      ...proxyVariables(),
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

/** Where programs look for the authorities they trust: OpenSSL, git, npm, curl, pip, cargo. */
const CA_BUNDLE_VARIABLES = [
  'SSL_CERT_FILE',
  'GIT_SSL_CAINFO',
  'npm_config_cafile',
  'CURL_CA_BUNDLE',
  'REQUESTS_CA_BUNDLE',
  'PIP_CERT',
  'CARGO_HTTP_CAINFO',
] as const;

/** Where TLS is looked into, it is answered by this installation's own authority; the bundle has the public ones too. */
function trustVariables(): Record<string, string> {
  const [own, all] = [`${SANDBOX_GATEWAY_DIRECTORY}/${CA_FILE}`, `${SANDBOX_GATEWAY_DIRECTORY}/${CA_BUNDLE_FILE}`];
  return { NODE_EXTRA_CA_CERTS: own, ...Object.fromEntries(CA_BUNDLE_VARIABLES.map((name) => [name, all])) };
}
