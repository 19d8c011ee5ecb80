import { PlatformError } from '../../base/errors.ts';

interface KnownFailure {
  readonly pattern: RegExp;
  readonly detail: string;
  readonly fix: string;
}

const NO_NAMESPACES =
  'Allow namespaces to ordinary users (`sysctl -w kernel.unprivileged_userns_clone=1`; on Ubuntu from 24.04 `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`), run the server as root, or install Docker or Podman.';

const KNOWN: readonly KnownFailure[] = [
  {
    pattern: /No permissions to creat|Creating new namespace failed|setting up uid map|Failed to make .* slave/i,
    detail: 'The kernel does not let this user make namespaces.',
    fix: NO_NAMESPACES,
  },
  {
    pattern: /bwrap: not found|bwrap: command not found/,
    detail: 'Bubblewrap is not installed.',
    fix: 'Install it (`apt-get install bubblewrap`, `dnf install bubblewrap`).',
  },
  {
    pattern: /setpriv: (not found|unrecognized option|invalid option)|env: (unrecognized option|invalid option)/,
    detail: "The host's setpriv or env is too simple to give root up safely.",
    fix: 'Install util-linux and coreutils, or run the server as an ordinary user.',
  },
  {
    pattern: /Unknown option/,
    detail: 'The installed bubblewrap is too old.',
    fix: 'Install bubblewrap 0.8 or newer, or Docker or Podman.',
  },
  {
    pattern: /Can't find source path|Can't get type of source|Can't bind mount|Unable to mount source/,
    detail: 'A directory that the sandbox mounts cannot be read by bubblewrap.',
    fix: 'See that the directory exists and that the user who runs the server may enter it.',
  },
  {
    pattern: /No space left on device/i,
    detail: 'The disk that holds the data directory is full.',
    fix: 'Free space there.',
  },
];

/** Bubblewrap's words may hold host paths, so they stay in the cause. */
export function startFailure(words: string): PlatformError {
  const known = explain(words);
  const detail =
    known === undefined ? "Bubblewrap could not make the sandbox; the server's log has its words." : `${known.detail} ${known.fix}`;
  return new PlatformError('sandbox_start_failed', { detail, cause: new Error(words.trim()) });
}

export function explain(words: string): { readonly detail: string; readonly fix: string } | undefined {
  return KNOWN.find(({ pattern }) => pattern.test(words));
}
