import { execFile } from 'node:child_process';
import { readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** What a server holds at one moment. */
export interface Reading {
  readonly files: number;
  /** Living descendants of the server. */
  readonly processes: number;
  readonly zombies: number;
  /** Of this installation, in any state; 0 where there is no engine. */
  readonly containers: number;
  /** Unix sockets that are listened on, and directories of such, below the data directory. */
  readonly sockets: number;
  /** After the garbage was collected; NaN between the start and the end. */
  readonly residentMb: number;
  readonly heapMb: number;
}

export interface Subject {
  readonly pid: number;
  readonly dataDir: string;
  /** Where the server writes its memory to when it is asked by SIGUSR2. */
  readonly memoryFile: string;
  readonly hasEngine: boolean;
}

const MB = 2 ** 20;
const MEMORY_LIMIT_MS = 30_000;

/** All but the memory, which stops the server for a moment. */
export async function readResources(subject: Subject): Promise<Reading> {
  const [files, tree, containers, sockets] = await Promise.all([
    readdir(`/proc/${subject.pid}/fd`).then((names) => names.length),
    readDescendants(subject.pid),
    subject.hasEngine ? countContainers(subject.dataDir) : 0,
    countSockets(subject.dataDir),
  ]);
  const zombies = tree.filter((state) => state === 'Z').length;
  return { files, processes: tree.length - zombies, zombies, containers, sockets, residentMb: Number.NaN, heapMb: Number.NaN };
}

export async function readAll(subject: Subject): Promise<Reading> {
  const { rss, heapUsed, external } = await readMemory(subject);
  return { ...(await readResources(subject)), residentMb: rss / MB, heapMb: (heapUsed + external) / MB };
}

async function readMemory({ pid, memoryFile }: Subject): Promise<{ rss: number; heapUsed: number; external: number }> {
  await rm(memoryFile, { force: true });
  process.kill(pid, 'SIGUSR2');
  const deadline = performance.now() + MEMORY_LIMIT_MS;
  for (;;) {
    const text = await readFile(memoryFile, 'utf8').catch(() => undefined);
    // The server of this folder writes it, whole.
    if (text !== undefined) return JSON.parse(text) as { rss: number; heapUsed: number; external: number };
    if (performance.now() > deadline) throw new Error('the server did not tell its memory');
    await sleep(20);
  }
}

/** The states of all processes below this one. */
async function readDescendants(root: number): Promise<readonly string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const stats = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')));
  const children = Map.groupBy(stats.flatMap(parseStat), ({ parent }) => parent);
  const below = (pid: number): readonly string[] => (children.get(pid) ?? []).flatMap((one) => [one.state, ...below(one.pid)]);
  return below(root);
}

function parseStat(stat: string): readonly { readonly pid: number; readonly state: string; readonly parent: number }[] {
  // The name in parentheses may hold anything, parentheses too.
  const found = /^(\d+) \(.*\) (\S) (\d+) /s.exec(stat);
  return found === null ? [] : [{ pid: Number(found[1]), state: found[2] ?? '', parent: Number(found[3]) }];
}

async function countContainers(dataDir: string): Promise<number> {
  const installation = await readFile(path.join(dataDir, 'sessions', '.installation'), 'utf8').catch(() => undefined);
  if (installation === undefined) return 0;
  const { stdout } = await run('docker', ['ps', '-aq', '--filter', `label=cloister.installation=${installation}`]);
  return stdout.split('\n').filter((id) => id !== '').length;
}

async function countSockets(dataDir: string): Promise<number> {
  const names = await readdir(path.join(dataDir, 'run')).catch(() => []);
  const owners = await readdir(path.join(dataDir, 'run', '.owners')).catch(() => []);
  const listening = (await readFile('/proc/net/unix', 'utf8')).split('\n').filter((line) => line.includes(`${dataDir}/`));
  return names.filter((name) => !name.startsWith('.')).length + owners.length + listening.length;
}
