import { existsSync, lstatSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import type { SandboxSpec } from '../driver.ts';

/** The host's side of a sandbox: what of the system is seen inside, and whether root makes it. */
export interface HostSystem {
  readonly isRoot: boolean;
  /** The Node that runs the server, which also runs the agents. */
  readonly nodePath: string;
  /** Path inside → directory on the host, read-only; left out when it is not there. */
  readonly programs: Readonly<Record<string, string>>;
}

const NODE_DIRECTORY = '/opt/node';
export const SEARCH_PATH = `${NODE_DIRECTORY}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;

/** Beside `/usr`: links into it on a merged system, directories on others. */
const SYSTEM_DIRECTORIES = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'];

/** All of `/etc` that programs need; nothing that tells of the host's users, network or services. */
const ETC = [
  'alternatives',
  'ca-certificates',
  'ca-certificates.conf',
  'ld.so.cache',
  'ld.so.conf',
  'ld.so.conf.d',
  'localtime',
  'mime.types',
  'pki/ca-trust/extracted',
  'pki/tls/certs',
  'protocols',
  'services',
  'ssl/certs',
  'ssl/openssl.cnf',
  'timezone',
];

/** The walls: everything a sandbox gets is named here, and nothing a caller says can widen it. */
export function sandboxArguments(spec: SandboxSpec, system: HostSystem, etc: string): string[] {
  return [
    ['--unshare-ipc', '--unshare-net', '--unshare-pid', '--unshare-uts', '--unshare-cgroup-try'],
    ['--hostname', 'sandbox', '--new-session', '--die-with-parent', '--clearenv', '--setenv', 'PATH', SEARCH_PATH],
    privileges(spec, system.isRoot),
    systemFiles(),
    directories(['/etc/pki/ca-trust/x', '/etc/pki/tls/x', '/etc/ssl/x', `${NODE_DIRECTORY}/bin/x`, `${NODE_DIRECTORY}/lib/x`]),
    etcFiles(etc),
    nodeFiles(system.nodePath),
    directories(Object.keys(system.programs)),
    Object.entries(system.programs).flatMap(([inside, host]) => ['--ro-bind-try', host, inside]),
    ['--proc', '/proc', ...devices(system.isRoot)],
    ['--perms', '1777', '--size', String(Math.min(spec.tmpBytes, 64 * 1024 * 1024)), '--tmpfs', '/dev/shm'],
    ['--perms', '1777', '--size', String(spec.tmpBytes), '--tmpfs', '/tmp'],
    directories(['/home/agent/x', '/opt/x', '/run/x', '/srv/x', '/var/tmp/x', '/workspace/x']),
    directories(spec.mounts.map(({ path: inside }) => inside)),
    spec.mounts.flatMap((mount) => [mount.isReadOnly ? '--ro-bind' : '--bind', mount.hostPath, mount.path]),
    ['--remount-ro', '/dev', '--remount-ro', '/'],
    ['--chdir', '/'],
  ].flat();
}

/** Makes what the places lie in: bubblewrap would make it too, but closed to all but its owner. */
function directories(places: readonly string[]): string[] {
  const all = places.flatMap((place) => ancestors(path.posix.normalize(place)));
  return [...new Set(all)].flatMap((directory) => ['--dir', directory]);
}

/** Outermost first. */
function ancestors(place: string): string[] {
  const parent = path.posix.dirname(place);
  return parent === '/' || parent === '.' ? [] : [...ancestors(parent), parent];
}

/** Root keeps what it needs to become the sandbox's user, and gives it up before the program runs. */
function privileges({ uid, gid }: SandboxSpec, isRoot: boolean): string[] {
  return isRoot ? rootPrivileges() : ['--unshare-user', '--uid', String(uid), '--gid', String(gid), '--cap-drop', 'ALL'];
}

function rootPrivileges(): string[] {
  return ['--cap-drop', 'ALL', ...['CAP_SETUID', 'CAP_SETGID', 'CAP_SETPCAP'].flatMap((capability) => ['--cap-add', capability])];
}

/**
 * A command in a running sandbox, whose namespaces are entered already: the same walls once more, since a joined
 * process has neither filter nor dropped capabilities yet.
 */
export function joinArguments(
  spec: SandboxSpec,
  { isRoot }: HostSystem,
  fds: { readonly script: number; readonly seccomp: number },
): string[] {
  return [
    ['bwrap', '--dev-bind', '/', '/', '--new-session', '--die-with-parent', '--clearenv', '--setenv', 'PATH', SEARCH_PATH],
    privileges(spec, isRoot),
    ['--seccomp', String(fds.seccomp), '--chdir', '/', '--', 'sh', `/proc/self/fd/${fds.script}`],
  ].flat();
}

/**
 * Without root, bubblewrap makes pseudo-terminals at the price of a second namespace of users, which `exec` could not
 * enter: there are none then.
 */
function devices(isRoot: boolean): string[] {
  if (isRoot) return ['--dev', '/dev'];
  const links = { fd: '/proc/self/fd', stdin: '/proc/self/fd/0', stdout: '/proc/self/fd/1', stderr: '/proc/self/fd/2' };
  return [
    ['--tmpfs', '/dev'],
    ...['full', 'null', 'random', 'urandom', 'zero'].map((name) => ['--dev-bind', `/dev/${name}`, `/dev/${name}`]),
    ...Object.entries(links).map(([name, target]) => ['--symlink', target, `/dev/${name}`]),
    ['--dir', '/dev/shm'],
  ].flat();
}

function systemFiles(): string[] {
  const found = ['--ro-bind', '/usr', '/usr'];
  for (const name of SYSTEM_DIRECTORIES) {
    const place = `/${name}`;
    if (!existsSync(place)) continue;
    if (lstatSync(place).isSymbolicLink()) found.push('--symlink', readlinkSync(place), place);
    else found.push('--ro-bind', place, place);
  }
  return found;
}

function etcFiles(own: string): string[] {
  return [
    ...ETC.flatMap((name) => ['--ro-bind-try', `/etc/${name}`, `/etc/${name}`]),
    ...Object.keys(ownEtc({ uid: 1, gid: 1 })).flatMap((name) => ['--ro-bind', path.join(own, name), `/etc/${name}`]),
  ];
}

/** The files of `/etc` that are the sandbox's own, by name. */
export function ownEtc({ uid, gid }: Pick<SandboxSpec, 'uid' | 'gid'>): Readonly<Record<string, string>> {
  return {
    passwd: `root:x:0:0:root:/:/usr/sbin/nologin\nagent:x:${uid}:${gid}:agent:/home/agent:/bin/sh\n`,
    group: `root:x:0:\nagent:x:${gid}:\n`,
    hosts: '127.0.0.1 localhost sandbox\n::1 localhost\n',
    'nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
  };
}

/** One Node for all: the system's own may be too old. Its npm comes along when it lies where Node's own packages put it. */
function nodeFiles(nodePath: string): string[] {
  const binary = ['--ro-bind', nodePath, `${NODE_DIRECTORY}/bin/node`];
  const modules = path.resolve(nodePath, '..', '..', 'lib', 'node_modules');
  if (!existsSync(path.join(modules, 'npm', 'bin', 'npm-cli.js'))) return binary;
  const link = (name: string) => ['--symlink', `../lib/node_modules/npm/bin/${name}-cli.js`, `${NODE_DIRECTORY}/bin/${name}`];
  return [...binary, '--ro-bind', modules, `${NODE_DIRECTORY}/lib/node_modules`, ...link('npm'), ...link('npx')];
}
