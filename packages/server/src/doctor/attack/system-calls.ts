/** One group of system calls that no agent needs: name, numbers on x64 and arm64, and Perl's words for the arguments. */
export interface CallGroup {
  readonly id: string;
  readonly what: string;
  readonly calls: readonly (readonly [name: string, numbers: readonly [x64: number, arm64: number], args: string])[];
}

type Row = readonly [id: string, what: string, calls: CallGroup['calls']];

/** `HOST` stands for the doctor's process id: its own processes a program may look into, the host's are to have no number. */
const ROWS: readonly Row[] = [
  [
    'raw-sockets',
    'raw, packet and device sockets',
    [
      ['raw', [41, 198], '2, 3, 1'],
      ['icmp raw6', [41, 198], '10, 3, 58'],
      ['packet', [41, 198], '17, 3, 768'],
      ['bluetooth', [41, 198], '31, 3, 1'],
      ['crypto', [41, 198], '38, 5, 0'],
    ],
  ],
  ['vsock', 'sockets to the hypervisor', [['vsock', [41, 198], '40, 1, 0']]],
  [
    'ptrace',
    "other processes' memory",
    [
      // Its own processes a program may look into; those of the host are to have no number here.
      ['ptrace', [101, 117], '16, HOST, 0, 0'],
      ['pidfd_open', [434, 434], 'HOST, 0'],
      ['kill', [62, 129], 'HOST, 0'],
    ],
  ],
  [
    'keyring',
    "the kernel's keyring",
    [
      ['add_key', [248, 217], '"user", "cloister", "x", 1, -3'],
      ['request_key', [249, 218], '"user", "cloister", 0, -3'],
      ['keyctl', [250, 219], '0, -3, 0, 0, 0'],
    ],
  ],
  [
    'mount-calls',
    'mounts by system call',
    [
      ['mount', [165, 40], '"x", "/tmp", "tmpfs", 0, 0'],
      ['pivot_root', [155, 41], '"/", "/"'],
      ['chroot', [161, 51], '"/tmp"'],
      ['move_mount', [429, 429], '0, 0, 0, 0, 0'],
      ['open_tree', [428, 428], '0, "/", 1'],
      ['fsopen', [430, 430], '"tmpfs", 0'],
    ],
  ],
  [
    'namespace-calls',
    'namespaces by system call',
    [
      ['unshare user', [272, 97], '0x10000000'],
      ['unshare net', [272, 97], '0x40000000'],
      ['setns', [308, 268], '0, 0'],
      ['open_by_handle_at', [304, 265], '0, 0, 0'],
    ],
  ],
  [
    'kernel-code',
    'programs and modules for the kernel',
    [
      ['bpf', [321, 280], '0, 0, 0'],
      ['init_module', [175, 105], '0, 0, ""'],
      ['kexec_load', [246, 104], '0, 0, 0, 0'],
      ['perf_event_open', [298, 241], '0, 0, -1, -1, 0'],
      ['userfaultfd', [323, 282], '0'],
    ],
  ],
  ['io-uring', 'io_uring, past the filter of system calls', [['io_uring_setup', [425, 425], '1, 0']]],
  [
    'machine',
    "the machine's clock, power, swap and log",
    [
      ['reboot', [169, 142], '0, 0, 0, 0'],
      ['swapon', [167, 224], '"/x", 0'],
      ['settimeofday', [164, 170], '0, 0'],
      ['syslog', [103, 116], '3, 0, 0'],
      ['quotactl', [179, 60], '0, 0, 0, 0'],
      ['acct', [163, 89], '"/tmp/x"'],
    ],
  ],
];

export function systemCalls(hostProcess: number): readonly CallGroup[] {
  return ROWS.map(([id, what, calls]) => ({
    id,
    what,
    calls: calls.map(([name, numbers, args]) => [name, numbers, args.replace('HOST', String(hostProcess))] as const),
  }));
}
