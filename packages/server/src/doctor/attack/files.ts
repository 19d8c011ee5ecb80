import type { Kit } from './kit.ts';

/** Writing to the image and to the kernel. */
export async function attackSystem(kit: Kit): Promise<void> {
  const fs = process.getBuiltinModule('node:fs');
  const write = (id: string, what: string, places: readonly string[]) => {
    const seen = places.map((place) => ({
      place,
      how: kit.tryTo(() =>
        fs.writeFileSync(place, place.endsWith('oom_score_adj') ? '-900' : '1', { flag: /^\/(proc|sys)\//.test(place) ? 'r+' : 'w' }),
      ),
    }));
    kit.tell(id, what, { got: seen.filter(({ how }) => how === 'ok').map(({ place }) => place), how: seen.map(({ how }) => how) });
  };
  write('system-files', 'writing to the system: root, programs, the agent itself', [
    '/x',
    '/etc/passwd',
    '/etc/x',
    '/usr/bin/x',
    '/opt/cloister/x',
    '/lib/x',
    '/var/x',
    '/root/x',
    '/home/x',
    '/run/x',
  ]);
  write('proc-writes', 'writing to /proc and /sys', [
    '/proc/sys/kernel/core_pattern',
    '/proc/sys/kernel/modprobe',
    '/proc/sys/vm/drop_caches',
    '/proc/sysrq-trigger',
    '/proc/1/oom_score_adj',
    '/sys/kernel/uevent_helper',
    '/sys/kernel/mm/transparent_hugepage/enabled',
    '/sys/fs/cgroup/release_agent',
    '/sys/fs/cgroup/memory/memory.limit_in_bytes',
    '/sys/fs/cgroup/memory.max',
    '/sys/fs/cgroup/pids/pids.max',
    '/sys/fs/cgroup/pids.max',
    '/sys/fs/cgroup/cgroup.procs',
  ]);
}

/** Reading what is the kernel's and the host's. */
export async function attackFiles(kit: Kit): Promise<void> {
  const fs = process.getBuiltinModule('node:fs');
  const { input } = kit;
  const read = (id: string, what: string, places: readonly string[]) => {
    const seen = places.map((place) => {
      let length = 0;
      const how = kit.tryTo(() => {
        const file = fs.openSync(place, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
        try {
          length = fs.readSync(file, Buffer.alloc(4096));
        } finally {
          fs.closeSync(file);
        }
      });
      return { place, how: how === 'ok' && length === 0 ? 'empty' : how };
    });
    kit.tell(id, what, { got: seen.filter(({ how }) => how === 'ok').map(({ place }) => place), how: seen.map(({ how }) => how) });
  };
  read('proc-leaks', "the kernel's memory, keys, log and timers", [
    '/proc/kcore',
    '/proc/keys',
    '/proc/timer_list',
    '/proc/sched_debug',
    '/proc/kmsg',
    '/dev/kmsg',
    '/dev/mem',
    '/proc/scsi/scsi',
    '/sys/kernel/debug/x',
    '/sys/kernel/security/lockdown',
    '/sys/firmware/dmi/tables/DMI',
    '/proc/acpi/wakeup',
    '/proc/1/mem',
  ]);
  const planted = ['/workspace/to-canary', '/workspace/to-root'];
  kit.tryTo(() => fs.symlinkSync(input.canary, planted[0] ?? ''));
  kit.tryTo(() => fs.symlinkSync('/proc/1/root', planted[1] ?? ''));
  const climb = '../'.repeat(20);
  read('host-files', 'a file of the host: by path, by /proc, by symlinks in the workspace', [
    input.canary,
    `/proc/1/root${input.canary}`,
    `/proc/self/root/${climb}${input.canary}`,
    `/proc/1/cwd/${climb}${input.canary}`,
    '/workspace/to-canary',
    `/workspace/to-root${input.canary}`,
    '/etc/shadow',
  ]);
}

/** Sockets of the engine and the system, and devices. */
export async function attackDevices(kit: Kit): Promise<void> {
  const fs = process.getBuiltinModule('node:fs');
  const { input } = kit;
  const engines = [
    '/var/run/docker.sock',
    '/run/docker.sock',
    '/run/containerd/containerd.sock',
    '/run/podman/podman.sock',
    '/run/crio/crio.sock',
    '/run/systemd/private',
    '/run/dbus/system_bus_socket',
  ];
  const reached = await Promise.all(engines.map(async (path) => ({ path, how: await kit.dial({ path }) })));
  kit.tell('engine-socket', "the engine's and the system's sockets", {
    got: reached.filter(({ how }) => how === 'connected').map(({ path }) => path),
    how: reached.map(({ how }) => how),
  });

  const allowed = new Set(['1:3', '1:5', '1:7', '1:8', '1:9', '5:0', '5:1', '5:2']);
  const devices: string[] = [];
  const sockets: string[] = [];
  let left = 60_000;
  const walk = (directory: string) => {
    let entries: readonly import('node:fs').Dirent[] = [];
    kit.tryTo(() => (entries = fs.readdirSync(directory, { withFileTypes: true })));
    for (const entry of entries) {
      const place = `${directory === '/' ? '' : directory}/${entry.name}`;
      if (left-- <= 0 || place === '/proc' || place === '/sys') continue;
      if (entry.isDirectory()) walk(place);
      else if (entry.isSocket() && place !== input.gatewaySocket) sockets.push(place);
      else if (entry.isBlockDevice()) devices.push(place);
      else if (entry.isCharacterDevice()) {
        const { rdev } = fs.lstatSync(place);
        const [major, minor] = [rdev >> 8, rdev & 0xff];
        if (!allowed.has(`${major}:${minor}`) && major !== 136) devices.push(place);
      }
    }
  };
  walk('/');
  kit.tell('sockets', 'every other socket in sight', { got: sockets, how: ['only the own gateway'] });
  const made = kit.run('mknod', '/tmp/disk', 'b', '8', '0');
  kit.tell('devices', 'device nodes: those there are, and making one', {
    got: made.code === 0 ? [...devices, 'mknod'] : devices,
    how: ['only null, zero, full, random, urandom, tty and pts', made.out],
  });
}

/** What a hostile workspace holds when the server comes to remove it. */
export async function plantTricks(kit: Kit): Promise<void> {
  const fs = process.getBuiltinModule('node:fs');
  const folder = kit.input.canary.slice(0, kit.input.canary.lastIndexOf('/'));
  const tricks = [
    () => fs.symlinkSync(folder, '/workspace/folder'),
    () => fs.symlinkSync('..', '/workspace/up'),
    () => fs.symlinkSync('/workspace/loop', '/workspace/loop'),
    () => fs.writeFileSync('/workspace/name\nwith\u202elines', ''),
    () => fs.mkdirSync(`/workspace/${'d/'.repeat(200)}`, { recursive: true }),
    () => fs.writeFileSync('/workspace/closed', '', { mode: 0 }),
    () => fs.mkdirSync('/workspace/locked', { mode: 0o500 }),
    () => fs.chmodSync('/workspace', 0o700),
  ];
  for (const trick of tricks) kit.tryTo(trick);
  kit.run('mkfifo', '/workspace/pipe');
  const linked = [
    kit.tryTo(() => fs.linkSync('/etc/passwd', '/workspace/passwd')),
    kit.tryTo(() => fs.chownSync('/workspace/closed', 0, 0)),
  ];
  kit.tell('workspace-links', "hard links to the system's files, and files given to root", {
    got: linked.filter((one) => one === 'ok'),
    how: linked,
  });
}
