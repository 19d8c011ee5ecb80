import { readdir, readFile, readlink, realpath } from 'node:fs/promises';
import { type EndpointOptions, endpointCandidates } from './docker/endpoint.ts';

/**
 * True when the engine looks at the same mounts as this process, so that what is mounted here can be given to a
 * sandbox: whoever listens on its socket is in our own mount namespace. What cannot be found out is no.
 */
export async function seesOurMounts(engine: EndpointOptions | undefined): Promise<boolean> {
  if (engine === undefined) return true;
  try {
    for (const endpoint of endpointCandidates(engine)) {
      if (endpoint.type !== 'unix') return false;
      const real = await realpath(endpoint.socketPath).catch(() => undefined); // this candidate is not there
      if (real === undefined) continue;
      const namespaces = await namespacesOf(await listenersOn(real));
      return namespaces.size === 1 && namespaces.has(await readlink('/proc/self/ns/mnt'));
    }
    return false;
  } catch {
    // No /proc, or closed to us.
    return false;
  }
}

/** The state of a socket that takes connections, in the kernel's table. */
const ACCEPTS = '00010000';

/** Inodes of the sockets that listen on the path. */
async function listenersOn(socketPath: string): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const line of (await readFile('/proc/net/unix', 'utf8')).split('\n').slice(1)) {
    const [, , , flags, , , inode, ...words] = line.trim().split(/\s+/);
    const name = words.join(' ');
    if (flags !== ACCEPTS || inode === undefined || !name.startsWith('/')) continue;
    if ((await realpath(name).catch(() => undefined)) === socketPath) found.add(inode);
  }
  return found;
}

async function namespacesOf(inodes: ReadonlySet<string>): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    // Processes come and go meanwhile.
    const fds = await readdir(`/proc/${pid}/fd`).catch(() => []);
    const links = await Promise.all(fds.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')));
    if (!links.some((link) => inodes.has(/^socket:\[(\d+)\]$/.exec(link)?.[1] ?? ''))) continue;
    found.add(await readlink(`/proc/${pid}/ns/mnt`));
  }
  return found;
}
