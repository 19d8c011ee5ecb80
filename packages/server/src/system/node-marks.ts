import { once } from 'node:events';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import path from 'node:path';
import type { Logger } from '../base/log.ts';

/**
 * Tells at once, and for certain, that an earlier server on the same data directory is dead; its leases would tell only
 * after half a minute. Each server listens on a socket of its own there: the kernel refuses a connection when nobody has
 * the socket open any more, and takes one for a server that is merely paused or busy. That holds in one kernel only, so a
 * mark carries the boot's id, and those of other hosts and former boots are left to the leases.
 */
export interface NodeMarks {
  /** Ids of nodes of this boot that are dead. Their marks go, so each is told once. */
  takeDead(): Promise<readonly string[]>;
  /** From now on this process counts as alive under the id. Without a mark, which may not be possible, the leases tell. */
  set(nodeId: string): Promise<void>;
  clear(): Promise<void>;
}

export interface NodeMarksOptions {
  readonly dataDir: string;
  readonly log: Logger;
  /** Of the running kernel; undefined where it tells none, and then there are no marks. */
  readonly bootId?: () => Promise<string | undefined>;
}

/** Paths of sockets have to be short, and one host has few boots. */
const BOOT_CHARACTERS = 8;

export function createNodeMarks({ dataDir, log, bootId = kernelBootId }: NodeMarksOptions): NodeMarks {
  const directory = path.join(dataDir, 'nodes');
  let server: Server | undefined;
  const suffix = async (): Promise<string | undefined> => {
    const boot = await bootId();
    return boot === undefined ? undefined : `.${boot.slice(0, BOOT_CHARACTERS)}`;
  };
  return {
    async takeDead() {
      const ending = await suffix();
      if (ending === undefined) return [];
      const dead: string[] = [];
      for (const name of await namesIn(directory)) {
        const mark = path.join(directory, name);
        if (!name.endsWith(ending) || (await isListening(mark))) continue;
        dead.push(name.slice(0, -ending.length));
        await rm(mark, { force: true });
      }
      return dead;
    },
    async set(nodeId) {
      const ending = await suffix();
      if (ending === undefined) return;
      try {
        await mkdir(directory, { recursive: true, mode: 0o700 });
        server = await listen(path.join(directory, `${nodeId}${ending}`));
      } catch (error) {
        log.info({ err: error }, 'this server leaves no mark in its data directory; after a crash its leases have to end');
      }
    },
    async clear() {
      // Node removes the socket with it.
      server?.close();
      server = undefined;
    },
  };
}

async function kernelBootId(): Promise<string | undefined> {
  const text = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => undefined);
  return text?.trim();
}

async function namesIn(directory: string): Promise<readonly string[]> {
  return readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
}

async function listen(socketPath: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  server.listen(socketPath);
  await once(server, 'listening');
  server.unref();
  return server;
}

/** Whatever is not a clear refusal counts as alive. */
function isListening(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'));
  });
}
