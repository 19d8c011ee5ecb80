import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PlatformError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import { asJsonObject, isJsonObject, type JsonObject, type JsonValue } from '../../base/json.ts';
import { parseJson } from './json-lines.ts';

/**
 * System calls that need CAP_SYS_ADMIN or reach into other processes, and that a program without it has no use for but to attack the kernel from
 * a user namespace of its own. Docker's filter denies them to such programs; Podman's lets them through.
 */
const ADMIN_CALLS = [
  'bpf',
  'fanotify_init',
  'fsconfig',
  'fsmount',
  'fsopen',
  'fspick',
  'kcmp',
  'keyctl',
  'lookup_dcookie',
  'mount',
  'mount_setattr',
  'move_mount',
  'name_to_handle_at',
  'open_tree',
  'perf_event_open',
  'pivot_root',
  'process_madvise',
  'process_vm_readv',
  'process_vm_writev',
  'quotactl',
  'quotactl_fd',
  'setdomainname',
  'sethostname',
  'setns',
  'syslog',
  'umount',
  'umount2',
  'unshare',
] as const;

/** Unix, IPv4 and IPv6: what programs use. Others lead to the hypervisor, to devices, or into seldom used parts of the kernel. */
const FAMILIES = [1, 2, 10] as const;
const NETLINK = 16;
const AUDIT = 9;
const NOT_PERMITTED = 1;
const NOT_IMPLEMENTED = 38;
/** Every CLONE_NEW… flag. */
const NAMESPACE_FLAGS = 0x7e02_0000;

/** The engine's own filter without what lets a program make namespaces. */
export function tightenSeccomp(profile: JsonObject): JsonObject {
  const denied = new Set<string>([...ADMIN_CALLS, 'clone', 'clone3', 'socket']);
  const rules = Array.isArray(profile.syscalls) ? profile.syscalls : [];
  const kept = rules.flatMap((rule: JsonValue) => {
    if (!isJsonObject(rule) || !Array.isArray(rule.names)) return [];
    const names = rule.names.filter((name) => typeof name === 'string' && !denied.has(name));
    return names.length === 0 ? [] : [{ ...rule, names }];
  });
  // What flags clone3 has stands in memory, where a filter cannot look: programs fall back to clone when it is not there.
  const added = [
    { names: [...ADMIN_CALLS], action: 'SCMP_ACT_ERRNO', errnoRet: NOT_PERMITTED },
    { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: NOT_IMPLEMENTED },
    { names: ['clone'], action: 'SCMP_ACT_ALLOW', args: [noNamespaces(0)], excludes: { arches: ['s390', 's390x'] } },
    { names: ['clone'], action: 'SCMP_ACT_ALLOW', args: [noNamespaces(1)], includes: { arches: ['s390', 's390x'] } },
  ];
  const sockets = FAMILIES.map((value) => ({ names: ['socket'], action: 'SCMP_ACT_ALLOW', args: [compare(0, value, 'SCMP_CMP_EQ')] }));
  const netlink = [compare(0, NETLINK, 'SCMP_CMP_EQ'), compare(2, AUDIT, 'SCMP_CMP_NE')];
  return { ...profile, syscalls: [...kept, ...added, ...sockets, { names: ['socket'], action: 'SCMP_ACT_ALLOW', args: netlink }] };
}

function compare(index: number, value: number, op: string): JsonObject {
  return { index, value, valueTwo: 0, op };
}

function noNamespaces(index: number): JsonObject {
  return { index, value: NAMESPACE_FLAGS, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' };
}

export interface SeccompFile {
  /** Where the engine, on this host, finds the filter; made once. */
  path(engineInfo: () => Promise<JsonValue | undefined>): Promise<string>;
  close(): Promise<void>;
}

/**
 * An engine that takes a filter by path only is given one in a directory that only this user can write to: the given
 * one, which it can see since workspaces are mounted from there, else a new one that goes with this.
 */
export function createSeccompFile(directory?: string): SeccompFile {
  let made: Promise<string> | undefined;
  return {
    path(engineInfo) {
      made ??= writeFilter(engineInfo, directory).catch((error: unknown) => {
        made = undefined;
        throw error;
      });
      return made;
    },
    async close() {
      const file = await made?.catch(() => undefined); // one that was not made is not removed
      if (file !== undefined && directory === undefined) await rm(path.dirname(file), { recursive: true, force: true });
    },
  };
}

async function writeFilter(engineInfo: () => Promise<JsonValue | undefined>, directory: string | undefined): Promise<string> {
  const security = asJsonObject(asJsonObject(asJsonObject(await engineInfo()).host).security);
  const source = typeof security.seccompProfilePath === 'string' ? security.seccompProfilePath : '';
  const profile = await readFile(source, 'utf8').then(parseJson, (cause: unknown) => Promise.reject(withoutFilter(source, cause)));
  if (!isJsonObject(profile) || !Array.isArray(profile.syscalls)) throw withoutFilter(source, undefined);
  const file = path.join(directory ?? (await mkdtemp(path.join(tmpdir(), 'cloister-seccomp-'))), 'podman-seccomp.json');
  // Another server may be reading it: it is there whole or not at all.
  const unfinished = `${file}.${newId('request')}`;
  await writeFile(unfinished, JSON.stringify(tightenSeccomp(profile)), { mode: 0o644 });
  await rename(unfinished, file);
  return file;
}

function withoutFilter(source: string, cause: unknown): PlatformError {
  const where = source === '' ? 'Podman names no seccomp filter' : `Podman's seccomp filter ${source} cannot be read`;
  return new PlatformError('sandbox_start_failed', {
    detail: `${where}, and no sandbox runs without one. Install the package containers-common, on the host that the server runs on.`,
    cause,
  });
}
