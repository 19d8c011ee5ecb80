interface KnownException {
  readonly reason: string;
  /** The first version of the engine that refuses it; none does when left out. */
  readonly until?: number;
}

/** What is known to get through: runtime → attack → why. */
const KNOWN_EXCEPTIONS: Readonly<Record<string, Readonly<Record<string, KnownException>>>> = {
  docker: {
    vsock: {
      reason: "the filter of Docker Engine before 23 lets such sockets be made; what listens on the hypervisor's side must ask who it is",
      until: 23,
    },
    'io-uring': { reason: 'the filter of Docker Engine before 25 lets it through', until: 25 },
  },
  podman: {
    'inode-fill': { reason: 'Podman bounds the bytes of /tmp and not its files; their memory counts as the sandbox’s own' },
  },
  bubblewrap: {
    'inode-fill': { reason: 'bubblewrap bounds the bytes of /tmp and not its files; their memory counts as the sandbox’s own' },
  },
};

const UNHELD = 'no quota is enforced here (WORKSPACE_QUOTA), see docs/workspaces.md';

/**
 * Attack → why it is known to get through. Reported as `known`, never as refused; the tests fail when one that is
 * listed is refused all the same, so that the list stays true.
 */
export function exceptionsOf(runtime: string, version: string, { hasQuota }: { readonly hasQuota: boolean }): ReadonlyMap<string, string> {
  const major = Number.parseInt(version, 10);
  const all = Object.entries(KNOWN_EXCEPTIONS[runtime] ?? {}).filter(([, { until }]) => until === undefined || !(major >= until));
  const unheld = hasQuota ? [] : ['workspace-fill', 'workspace-inodes'].map((id) => [id, UNHELD] as const);
  return new Map([...all.map(([id, { reason }]) => [id, reason] as const), ...unheld]);
}
