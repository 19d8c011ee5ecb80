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

/** The OCI runtime that is gVisor; what stands below counts for it instead of what its engine lets through. */
const GVISOR = 'runsc';
const OWN_KERNEL = "it reaches gVisor's own kernel, which is this sandbox's alone, and nothing of the host";
const OF_GVISOR: Readonly<Record<string, KnownException>> = {
  'proc-writes': { reason: OWN_KERNEL },
  devices: { reason: OWN_KERNEL },
  'no-new-rights': { reason: OWN_KERNEL },
  setuid: { reason: OWN_KERNEL },
  namespaces: { reason: OWN_KERNEL },
  'namespace-calls': { reason: OWN_KERNEL },
  machine: { reason: OWN_KERNEL },
  'io-uring': { reason: OWN_KERNEL },
  'inode-fill': { reason: "gVisor bounds the bytes of /tmp and not its files; their memory counts as the sandbox's own" },
  whole: { reason: 'gVisor gives up, and the sandbox with it, when the sandbox runs into its limit of processes' },
};

const UNHELD = 'no quota is enforced here (WORKSPACE_QUOTA), see docs/workspaces.md';

/**
 * Attack → why it is known to get through. Reported as `known`, never as refused; the tests fail when one that is
 * listed is refused all the same, so that the list stays true.
 */
export function exceptionsOf(
  runtime: string,
  version: string,
  { hasQuota, runtimeClass }: { readonly hasQuota: boolean; readonly runtimeClass?: string | undefined },
): ReadonlyMap<string, string> {
  const major = Number.parseInt(version, 10);
  const all = Object.entries(runtimeClass === GVISOR ? OF_GVISOR : (KNOWN_EXCEPTIONS[runtime] ?? {})).filter(
    ([, { until }]) => until === undefined || !(major >= until),
  );
  const unheld = hasQuota ? [] : ['workspace-fill', 'workspace-inodes'].map((id) => [id, UNHELD] as const);
  return new Map([...all.map(([id, { reason }]) => [id, reason] as const), ...unheld]);
}
