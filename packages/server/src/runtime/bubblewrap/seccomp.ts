/**
 * The system-call filter of a sandbox, as a classic BPF program for the kernel. An unprivileged program needs none of
 * the refused calls; most would fail without a capability anyway, and the filter keeps their code in the kernel out
 * of reach. What came into the kernel after this list was made does not exist inside.
 */

interface CallTable {
  /** AUDIT_ARCH of the calls: those of another word size or machine are refused whole. */
  readonly audit: number;
  readonly clone: number;
  readonly ioctl: number;
  readonly socket: number;
  readonly denied: Readonly<Record<string, number>>;
}

/** One number on every machine, since Linux 5.1. */
const COMMON = {
  io_uring_setup: 425,
  io_uring_enter: 426,
  io_uring_register: 427,
  open_tree: 428,
  move_mount: 429,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  fspick: 433,
  pidfd_getfd: 438,
  process_madvise: 440,
  mount_setattr: 442,
  quotactl_fd: 443,
} as const;
const CLONE3 = 435;
/** `mseal`, of Linux 6.10. */
const LAST_KNOWN_CALL = 462;

const TABLES: Readonly<Record<string, CallTable>> = {
  x64: {
    audit: 0xc000003e,
    clone: 56,
    ioctl: 16,
    socket: 41,
    denied: {
      ...COMMON,
      ptrace: 101,
      syslog: 103,
      uselib: 134,
      ustat: 136,
      sysfs: 139,
      vhangup: 153,
      pivot_root: 155,
      _sysctl: 156,
      adjtimex: 159,
      chroot: 161,
      acct: 163,
      settimeofday: 164,
      mount: 165,
      umount2: 166,
      swapon: 167,
      swapoff: 168,
      reboot: 169,
      sethostname: 170,
      setdomainname: 171,
      iopl: 172,
      ioperm: 173,
      create_module: 174,
      init_module: 175,
      delete_module: 176,
      get_kernel_syms: 177,
      query_module: 178,
      quotactl: 179,
      nfsservctl: 180,
      lookup_dcookie: 212,
      clock_settime: 227,
      kexec_load: 246,
      add_key: 248,
      request_key: 249,
      keyctl: 250,
      migrate_pages: 256,
      unshare: 272,
      move_pages: 279,
      perf_event_open: 298,
      fanotify_init: 300,
      name_to_handle_at: 303,
      open_by_handle_at: 304,
      clock_adjtime: 305,
      setns: 308,
      process_vm_readv: 310,
      process_vm_writev: 311,
      kcmp: 312,
      finit_module: 313,
      kexec_file_load: 320,
      bpf: 321,
      userfaultfd: 323,
    },
  },
  arm64: {
    audit: 0xc00000b7,
    clone: 220,
    ioctl: 29,
    socket: 198,
    denied: {
      ...COMMON,
      lookup_dcookie: 18,
      umount2: 39,
      mount: 40,
      pivot_root: 41,
      nfsservctl: 42,
      chroot: 51,
      vhangup: 58,
      quotactl: 60,
      acct: 89,
      kexec_load: 104,
      init_module: 105,
      delete_module: 106,
      clock_settime: 112,
      syslog: 116,
      ptrace: 117,
      reboot: 142,
      sethostname: 161,
      setdomainname: 162,
      settimeofday: 170,
      adjtimex: 171,
      add_key: 217,
      request_key: 218,
      keyctl: 219,
      swapon: 224,
      swapoff: 225,
      migrate_pages: 238,
      move_pages: 239,
      perf_event_open: 241,
      fanotify_init: 262,
      name_to_handle_at: 264,
      open_by_handle_at: 265,
      clock_adjtime: 266,
      setns: 268,
      process_vm_readv: 270,
      process_vm_writev: 271,
      kcmp: 272,
      finit_module: 273,
      bpf: 280,
      userfaultfd: 282,
      kexec_file_load: 294,
      unshare: 97,
    },
  },
};

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET. */
const NEW_NAMESPACES = 0x7e020000;
/** Commands that push input into a terminal: the way out of a sandbox that shares one. */
const TERMINAL_INPUT = [0x5412, 0x541c];
/** AF_ALG and AF_VSOCK: the kernel's crypto and the hypervisor's host, neither held by a network namespace. */
const DENIED_FAMILIES = [38, 40];

const EPERM = 1;
const ENOSYS = 38;
const ALLOW = 0x7fff0000;
const KILL = 0x80000000;
const refuse = (errno: number): number => 0x00050000 | errno;

const LOAD = 0x20;
const RETURN = 0x06;
const JUMP_EQUAL = 0x15;
const JUMP_GREATER = 0x25;
const JUMP_ANY_BIT = 0x45;

const AT_NUMBER = 0;
const AT_ARCH = 4;
/** The lower half of an argument; both machines keep it first. */
const atArgument = (index: number): number => 16 + 8 * index;

interface Instruction {
  readonly code: number;
  readonly value: number;
  /** How many instructions are skipped when the test holds, and when not. */
  readonly ifTrue?: number;
  readonly ifFalse?: number;
}

/** The filter for this machine; undefined when there is none for it. */
export function seccompFilter(arch: string = process.arch): Buffer | undefined {
  const table = TABLES[arch];
  return table === undefined ? undefined : assemble(filterProgram(table));
}

/** The calls that are always refused, by name. */
export function deniedCalls(arch: string = process.arch): Readonly<Record<string, number>> {
  return TABLES[arch]?.denied ?? {};
}

function filterProgram(table: CallTable): Instruction[] {
  return [
    { code: LOAD, value: AT_ARCH },
    ...unless(JUMP_EQUAL, table.audit, KILL),
    { code: LOAD, value: AT_NUMBER },
    ...when(JUMP_GREATER, LAST_KNOWN_CALL, refuse(ENOSYS)),
    // Its flags lie in memory that a filter cannot read; without it, C libraries use `clone`.
    ...when(JUMP_EQUAL, CLONE3, refuse(ENOSYS)),
    ...Object.values(table.denied).flatMap((number) => when(JUMP_EQUAL, number, refuse(EPERM))),
    ...forCall(table.clone, 0, when(JUMP_ANY_BIT, NEW_NAMESPACES, refuse(EPERM))),
    ...forCall(
      table.ioctl,
      1,
      TERMINAL_INPUT.flatMap((command) => when(JUMP_EQUAL, command, refuse(EPERM))),
    ),
    ...forCall(
      table.socket,
      0,
      DENIED_FAMILIES.flatMap((family) => when(JUMP_EQUAL, family, refuse(EPERM))),
    ),
    { code: RETURN, value: ALLOW },
  ];
}

function when(code: number, value: number, result: number): Instruction[] {
  return [
    { code, value, ifFalse: 1 },
    { code: RETURN, value: result },
  ];
}

function unless(code: number, value: number, result: number): Instruction[] {
  return [
    { code, value, ifTrue: 1 },
    { code: RETURN, value: result },
  ];
}

/** Looks at one argument of one call, and allows the call when no test says otherwise. */
function forCall(number: number, argument: number, tests: readonly Instruction[]): Instruction[] {
  const body = [{ code: LOAD, value: atArgument(argument) }, ...tests, { code: RETURN, value: ALLOW }];
  return [{ code: JUMP_EQUAL, value: number, ifFalse: body.length }, ...body];
}

const INSTRUCTION_BYTES = 8;

function assemble(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * INSTRUCTION_BYTES);
  for (const [index, { code, value, ifTrue = 0, ifFalse = 0 }] of program.entries()) {
    const at = index * INSTRUCTION_BYTES;
    bytes.writeUInt16LE(code, at);
    bytes.writeUInt8(ifTrue, at + 2);
    bytes.writeUInt8(ifFalse, at + 3);
    bytes.writeUInt32LE(value, at + 4);
  }
  return bytes;
}
