import { PlatformError } from '../../base/errors.ts';
import { describeEndpoint, type Endpoint } from './endpoint.ts';
import { type EngineKind, QUIRKS } from './quirks.ts';

/** What went wrong on the way to the engine, and what the operator does about it. */
export interface ConnectionFailure {
  readonly detail: string;
  readonly fix: string;
  /** How much the failure tells, to pick one when several places were tried. */
  readonly weight: number;
}

export function explainConnection(endpoint: Endpoint, error: unknown, kind: EngineKind): ConnectionFailure {
  const where = describeEndpoint(endpoint);
  const { title, fixes } = QUIRKS[kind];
  if (isTlsFailure(error)) return explainTls(where, error);
  switch (errorCode(error)) {
    case 'ENOENT':
      return {
        detail: `There is no container engine socket at ${where}.`,
        fix: fixes.missing,
        weight: 0,
      };
    case 'EACCES':
    case 'EPERM':
      return {
        detail: `This user may not use the container engine's socket at ${where}.`,
        fix: fixes.forbidden,
        weight: 3,
      };
    case 'ECONNREFUSED':
      return {
        detail: `Nothing answers at ${where}: the container engine is not running.`,
        fix: fixes.stopped,
        weight: 2,
      };
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'ETIMEDOUT':
      return { detail: `The host of ${where} cannot be reached.`, fix: 'Correct DOCKER_HOST, or the network to that host.', weight: 2 };
    default:
      return {
        detail: `The connection to the container engine at ${where} broke off.`,
        fix: `Look at the log of ${title} (\`journalctl -u ${kind}\`) and repeat.`,
        weight: 1,
      };
  }
}

function isTlsFailure(error: unknown): boolean {
  return /^(ERR_SSL|ERR_TLS|CERT_|DEPTH_ZERO|UNABLE_TO|SELF_SIGNED|EPROTO|HOSTNAME_)/.test(errorCode(error) ?? '');
}

function explainTls(where: string, error: unknown): ConnectionFailure {
  return {
    detail: `TLS with the container engine at ${where} failed (${errorCode(error)}).`,
    fix: "See that ca.pem in DOCKER_CERT_PATH signed the engine's certificate, that it names this host, and that the engine knows cert.pem.",
    weight: 3,
  };
}

export function unreachable(failure: ConnectionFailure, cause: unknown): PlatformError {
  return new PlatformError('runtime_unreachable', { detail: `${failure.detail} ${failure.fix}`, cause });
}

export function tooSlow(endpoint: Endpoint | undefined, operation: string, ms: number): PlatformError {
  const where = endpoint === undefined ? '' : ` at ${describeEndpoint(endpoint)}`;
  return new PlatformError('runtime_unreachable', {
    detail: `The container engine${where} did not finish "${operation}" within ${Math.round(ms / 1000)} s. Look at the engine's log and at the load of its host.`,
  });
}

/** An answer that the operation has no use for. The engine's own words may hold host paths, so they stay in the cause. */
export function unexpectedAnswer(operation: string, answer: { readonly status: number; readonly message: string }): PlatformError {
  return new PlatformError('runtime_unreachable', {
    detail: `The container engine answered "${operation}" with status ${answer.status}. Look at the engine's log.`,
    cause: new Error(answer.message),
  });
}

/** Makes the engine's refusal to create or start a sandbox into words that are safe to show. */
export function startFailure(answer: { readonly status: number; readonly message: string }): PlatformError {
  const cause = new Error(`engine status ${answer.status}: ${answer.message}`);
  for (const [pattern, detail] of START_FAILURES) {
    if (pattern.test(answer.message)) return new PlatformError('sandbox_start_failed', { detail, cause });
  }
  const detail = `The container engine refused the sandbox with status ${answer.status}; the server's log has its words.`;
  return new PlatformError('sandbox_start_failed', { detail, cause });
}

const START_FAILURES: readonly (readonly [RegExp, string])[] = [
  [
    /bind source path does not exist|invalid mount config|mounts denied|error mounting/i,
    'The container engine does not see a directory that the sandbox mounts. The engine must run on the same host as the server and may have to be told to share DATA_DIR.',
  ],
  [/no space left on device/i, 'The disk of the container engine is full. Free space where the engine keeps its data.'],
  [/executable file not found|no such file or directory.*exec|exec format error/i, "The sandbox's program cannot be run in this image."],
  [
    /cannot allocate memory|minimum memory limit/i,
    'The host has too little memory for the sandbox, or the limit is below what the engine allows.',
  ],
  [/range of cpus|cpus available/i, 'The sandbox asks for more CPUs than the host of the engine has.'],
];

export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if ('code' in error && typeof error.code === 'string') return error.code;
  return undefined;
}
