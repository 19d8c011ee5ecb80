/**
 * The two small shell programs around a sandbox. Neither takes anything from a tenant but as quoted words.
 *
 * The supervisor is the sandbox's parent on the host. It outlives the server, so how a sandbox ended is on disk
 * also when nobody looked, and it dies with nothing but its sandbox. It takes: the file of its own identity, the
 * file that names the sandbox, the exit record to write, and the directories of the control groups.
 */
export const SUPERVISOR = `
identity=$1; owner=$2; record=$3; shift 3
read -r boot </proc/sys/kernel/random/boot_id
read -r stat <"/proc/$$/stat"
printf '%s\\n%s\\n' "$boot" "$stat" >"$identity"
(
  for group in "$@"; do echo 0 >"$group/cgroup.procs" || exit 125; done
  exec bwrap --args 6 --seccomp 5 --json-status-fd 7 -- sh /proc/self/fd/4
)
code=$?
exec 0<&- 1>&- 2>&-
killed=0
for group in "$@"; do
  for file in "$group/memory.events" "$group/memory.oom_control"; do
    test -r "$file" || continue
    while read -r name count; do
      if test "$name" = oom_kill && test "$count" -gt 0; then killed=1; fi
    done <"$file"
  done
done
{ cat "$owner"; printf '\\n%s %s\\n' "$code" "$killed"; } >"$record.new" && mv -f "$record.new" "$record"
exec 3>&-
for group in "$@"; do
  for attempt in 1 2 3 4 5 6 7 8 9 10; do
    rmdir "$group" && break
    sleep 0.1
  done
done
`;

/** Puts itself into control groups (their number, then they), then becomes the command. */
export const JOIN = `
count=$1; shift
while test "$count" -gt 0; do
  echo 0 >"$1/cgroup.procs" || exit 125
  shift; count=$((count - 1))
done
exec "$@"
`;

export interface Payload {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Set when bubblewrap runs as root, and root has to become this user inside. */
  readonly user: { readonly uid: number; readonly gid: number } | undefined;
  /** Set where there are no control groups. */
  readonly processLimits: { readonly dataBytes: number; readonly processes: number | undefined } | undefined;
  /** Descriptors of ours to close before the program; a byte is written to `readyFd` first. */
  readonly scriptFd: number;
  readonly readyFd: number | undefined;
}

const OPEN_FILES = 16_384;

/**
 * What runs first inside: sets limits, says that all walls stand, gives up root, and becomes the program. The program's
 * environment is set after root is gone: a preloaded library must not run as anybody else than the program.
 */
export function payloadScript(payload: Payload): string {
  const { argv, env, cwd, user, processLimits, scriptFd, readyFd } = payload;
  const words = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  return [
    `exec ${scriptFd}<&-`,
    // When memory is short, of the host or of the group, the program goes before bubblewrap does.
    'echo 500 2>/dev/null >/proc/self/oom_score_adj || :',
    'ulimit -c 0 2>/dev/null || :',
    `ulimit -n ${OPEN_FILES} 2>/dev/null || :`,
    ...(processLimits === undefined ? [] : limitLines(processLimits)),
    ...(readyFd === undefined ? [] : [`printf . >&${readyFd}`, `exec ${readyFd}>&-`]),
    `exec ${[...dropRoot(user), 'env', '-i', `--chdir=${cwd}`, '--', ...words, ...argv].map(quote).join(' ')}`,
    '',
  ].join('\n');
}

/** Shells call the limit on processes by different letters. */
function limitLines({ dataBytes, processes }: NonNullable<Payload['processLimits']>): string[] {
  const data = `ulimit -d ${Math.ceil(dataBytes / 1024)}`;
  if (processes === undefined) return [data];
  return [data, `ulimit -u ${processes} 2>/dev/null || ulimit -p ${processes}`];
}

function dropRoot(user: Payload['user']): string[] {
  if (user === undefined) return [];
  const { uid, gid } = user;
  return [
    'setpriv',
    `--reuid=${uid}`,
    `--regid=${gid}`,
    '--clear-groups',
    '--inh-caps=-all',
    '--ambient-caps=-all',
    '--bounding-set=-all',
    '--no-new-privs',
    '--',
  ];
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
