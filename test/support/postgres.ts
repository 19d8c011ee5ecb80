// A PostgreSQL server of the test's own, from the distribution's binaries: a private cluster in a temporary
// folder, on 127.0.0.1 and a free port. It can be stopped, killed and started again, and goes when the test goes.
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { accessSync, chownSync, constants, globSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { freePort } from './free-port.ts';

export interface PostgresOptions {
  /** On by default, as in production. Off for tests that crash nothing and want speed. */
  readonly fsync?: boolean;
  /** A cluster of its own even where CLOISTER_TEST_DATABASE_URL names a server: for tests that stop or kill it. */
  readonly own?: boolean;
  /** Further server settings, as `-c name=value`. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** `fast` rolls back and disconnects; `smart` waits for the clients; `immediate` leaves recovery to the next start. */
type StopMode = 'smart' | 'fast' | 'immediate';

export interface Postgres extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** A new database, empty or a copy of `template` (a URL that this gave, with nobody connected); answers its URL. */
  createDatabase(options?: { readonly template?: string }): Promise<string>;
  stop(mode?: StopMode): Promise<void>;
  /** SIGKILL of the postmaster and of all its children. */
  kill(): Promise<void>;
  /** On the same port and with the same data; resolves when connections are answered. */
  start(): Promise<void>;
  /** Stops the server and removes all that it was. */
  close(): Promise<void>;
}

const run = promisify(execFile);
const BINARIES = ['/usr/lib/postgresql/*/bin', '/usr/pgsql-*/bin', '/opt/homebrew/opt/postgresql*/bin', '/usr/local/bin'];
const SIGNALS: Readonly<Record<StopMode, NodeJS.Signals>> = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' };
const READY_LIMIT_MS = 60_000;
const POLL_MS = 10;
/** Lives beside the cluster; when the test process goes, in whatever way, its input ends and it clears up. */
const WATCHER = `
read -r _
for _ in 1 2 3 4 5 6 7 8 9 10; do
  pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null && break
  sleep 0.1
done
for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$pid" 2>/dev/null || break; sleep 0.2; done
rm -rf "$1"
`;

interface Account {
  readonly uid?: number;
  readonly gid?: number;
}

const binaries = findBinaries();
const shared = process.env.CLOISTER_TEST_DATABASE_URL;

/** For node:test's `skip`: why no cluster of one's own can be had here, or false. */
export const skipWithoutOwnPostgres: string | false = reasonAgainstOwn();
/** For node:test's `skip`: why no PostgreSQL can be had here, or false. */
export const skipWithoutPostgres: string | false = shared === undefined ? skipWithoutOwnPostgres : false;

/** Undefined where no server can be had; `skipWithoutPostgres` says why. */
export async function startPostgres(options: PostgresOptions = {}): Promise<Postgres | undefined> {
  if (shared !== undefined && options.own !== true) return useShared(shared);
  if (skipWithoutOwnPostgres !== false || binaries === undefined) return undefined;
  return startOwn(binaries, options);
}

async function startOwn(bin: string, options: PostgresOptions): Promise<Postgres> {
  const account = accountFor();
  const folder = await mkdtemp(path.join(tmpdir(), 'cloister-postgres-'));
  if (account.uid !== undefined && account.gid !== undefined) chownSync(folder, account.uid, account.gid);
  const watcher = spawn('sh', ['-c', WATCHER, 'watcher', folder], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  watcher.unref();
  const data = path.join(folder, 'data');
  const user = `cloister_${randomBytes(6).toString('hex')}`;
  const port = await freePort();
  const cluster = createCluster({ bin, folder, data, port, account, options });
  const admin = `postgres://${user}@127.0.0.1:${port}/postgres`;
  const close = async (): Promise<void> => {
    await cluster.stop('immediate');
    await rm(folder, { recursive: true, force: true });
    watcher.stdin.end();
  };
  const start = async (): Promise<void> => {
    cluster.spawn();
    await untilReady(admin, cluster);
  };
  try {
    const how = ['-D', data, '-U', user, '--auth=trust', '--encoding=UTF8', '--locale=C.UTF-8', '--no-sync', '--no-instructions'];
    await run(path.join(bin, 'initdb'), how, { ...account, cwd: folder });
    await start();
  } catch (error) {
    await close();
    throw error;
  }
  return {
    host: '127.0.0.1',
    port,
    createDatabase: (database) => createDatabase(admin, database?.template),
    stop: (mode = 'fast') => cluster.stop(mode),
    kill: cluster.kill,
    start,
    close,
    [Symbol.asyncDispose]: close,
  };
}

interface Cluster {
  readonly logFile: string;
  spawn(): void;
  hasEnded(): boolean;
  stop(mode: StopMode): Promise<void>;
  kill(): Promise<void>;
}

function createCluster(input: {
  readonly bin: string;
  readonly folder: string;
  readonly data: string;
  readonly port: number;
  readonly account: Account;
  readonly options: PostgresOptions;
}): Cluster {
  const { bin, folder, data, port, account, options } = input;
  const logFile = path.join(folder, 'server.log');
  let child: ChildProcess | undefined;
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    fsync: options.fsync === false ? 'off' : 'on',
    full_page_writes: options.fsync === false ? 'off' : 'on',
    max_connections: '100',
    shared_buffers: '64MB',
    // Two checkpoints at most while a test runs, unless it asks for others.
    max_wal_size: '256MB',
    ...options.settings,
  };
  const args = ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
  const hasEnded = (): boolean => child === undefined || child.exitCode !== null || child.signalCode !== null;
  return {
    logFile,
    hasEnded,
    spawn() {
      if (!hasEnded()) return;
      // Detached, so that an interrupt at the terminal does not stop it before its user.
      const script = 'exec "$@" >>"$0" 2>&1';
      const program = ['-c', script, logFile, path.join(bin, 'postgres'), ...args];
      child = spawn('sh', program, { ...account, cwd: folder, stdio: 'ignore', detached: true });
      child.unref();
    },
    async stop(mode) {
      if (child === undefined || hasEnded()) return;
      const ended = once(child, 'exit');
      child.ref();
      child.kill(SIGNALS[mode]);
      await ended;
    },
    async kill() {
      if (child?.pid === undefined || hasEnded()) return;
      const ended = once(child, 'exit');
      child.ref();
      // It goes on taking connections while its children are listed, unless it stands still.
      child.kill('SIGSTOP');
      const children = await childrenOf(child.pid);
      child.kill('SIGKILL');
      for (const pid of children) killIfThere(pid);
      await ended;
      // The next start refuses while one of them still holds the shared memory.
      while (children.some(isAlive)) await sleep(POLL_MS);
    },
  };
}

async function untilReady(url: string, cluster: Cluster): Promise<void> {
  const deadline = performance.now() + READY_LIMIT_MS;
  for (;;) {
    const client = new Client({ connectionString: url, connectionTimeoutMillis: 5000 });
    // The failure of a connection attempt is the answer here; the log has the reason.
    client.on('error', () => undefined);
    const isReady = await client.connect().then(
      () => true,
      () => false,
    );
    await client.end().catch(() => undefined);
    if (isReady) return;
    if (cluster.hasEnded() || performance.now() > deadline) {
      const log = await readFile(cluster.logFile, 'utf8').catch(() => '(no log)');
      throw new Error(`PostgreSQL ${cluster.hasEnded() ? 'ended' : 'did not answer'}:\n${log.slice(-3000)}`);
    }
    await sleep(POLL_MS);
  }
}

async function createDatabase(admin: string, template: string | undefined): Promise<string> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  const from = template === undefined ? 'template0' : new URL(template).pathname.slice(1);
  await query(admin, `CREATE DATABASE ${name} TEMPLATE ${from}`);
  const url = new URL(admin);
  url.pathname = `/${name}`;
  return url.href;
}

async function query(url: string, sql: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

/** A server that somebody else runs: databases come and go, the server is not ours to stop. */
function useShared(admin: string): Postgres {
  const made: string[] = [];
  const { hostname, port } = new URL(admin);
  const refuse = (): Promise<never> => Promise.reject(new Error('a server named by CLOISTER_TEST_DATABASE_URL is not stopped by a test'));
  const close = async (): Promise<void> => {
    for (const url of made.splice(0)) await query(admin, `DROP DATABASE IF EXISTS ${new URL(url).pathname.slice(1)} WITH (FORCE)`);
  };
  return {
    host: hostname,
    port: Number(port || 5432),
    async createDatabase(options) {
      const url = await createDatabase(admin, options?.template);
      made.push(url);
      return url;
    },
    stop: refuse,
    kill: refuse,
    start: refuse,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function reasonAgainstOwn(): string | false {
  if (binaries === undefined) return "PostgreSQL's server programs are not installed";
  return process.getuid?.() === 0 && accountFor().uid === undefined
    ? 'PostgreSQL does not run as root, and there is no user postgres'
    : false;
}

function findBinaries(): string | undefined {
  const newestFirst = BINARIES.flatMap((pattern) => globSync(pattern).sort((a, b) => b.localeCompare(a, 'en', { numeric: true })));
  return newestFirst.find((folder) => ['initdb', 'postgres'].every((name) => isProgram(path.join(folder, name))));
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** PostgreSQL refuses to run as root; its package brings a user for it. */
function accountFor(): Account {
  if (process.getuid?.() !== 0) return {};
  try {
    const [uid, gid] = ['-u', '-g'].map((flag) => Number(execFileSync('id', [flag, 'postgres'], { stdio: ['ignore', 'pipe', 'ignore'] })));
    return uid === undefined || gid === undefined ? {} : { uid, gid };
  } catch {
    return {};
  }
}

async function childrenOf(pid: number): Promise<number[]> {
  // Exit code 1 means that there are none.
  const { stdout } = await run('pgrep', ['-P', String(pid)]).catch(() => ({ stdout: '' }));
  return stdout.split('\n').filter(Boolean).map(Number);
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself in between.
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
