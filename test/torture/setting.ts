// What a torture works on: servers with one store and one data directory, and what may break beneath them.
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { mountSmallDisk, type SmallDisk } from '../support/loop-filesystem.ts';
import { type Postgres, skipWithoutOwnPostgres, startPostgres } from '../support/postgres.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';
import { createServerControl } from './server-control.ts';
import type { TortureServer } from './servers.ts';

export type StoreKind = 'sqlite' | 'postgres';

export interface Setting {
  readonly servers: readonly TortureServer[];
  readonly postgres: Postgres | undefined;
  readonly disk: SmallDisk | undefined;
  /** Where the servers' data and logs lie. */
  readonly folder: string;
  /** What the database says of itself, once no server has it open; null where it is not asked. */
  integrity(): string | null;
  /** Ends everything. With `keep` the folder stays for a look. */
  close(input: { readonly keep: boolean }): Promise<void>;
}

export interface SettingOptions {
  readonly store: StoreKind;
  readonly servers: number;
  readonly hasSmallDisk: boolean;
  readonly env: Readonly<Record<string, string>>;
  /** The servers' program, when it is not the product's own. */
  readonly program?: string | undefined;
}

export const SERVER_KEY = 'clst_key-of-a-server-that-is-killed';

export async function createSetting(options: SettingOptions): Promise<Setting> {
  const undo: (() => Promise<unknown>)[] = [];
  const folder = await mkdtemp(path.join(os.tmpdir(), 'cloister-torture-'));
  const undoAll = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const disk = options.hasSmallDisk ? await mountSmallDisk() : undefined;
    if (disk !== undefined) undo.push(() => disk.unmount());
    const postgres = options.store === 'postgres' ? await ownPostgres() : undefined;
    if (postgres !== undefined) undo.push(() => postgres.close());
    const database = await postgres?.createDatabase();
    const servers: TortureServer[] = [];
    const dataFolder = disk?.folder ?? folder;
    for (let number = 1; number <= options.servers; number++) {
      const server = await createServer({ ...options, number, folder, dataFolder, database, postgres });
      servers.push(server);
      undo.push(async () => {
        server.control.signal('SIGCONT');
        await server.control.kill('SIGKILL');
        await server.link?.close();
      });
      server.starting = server.control.start();
    }
    return {
      servers,
      postgres,
      disk,
      folder,
      integrity: () => (options.store === 'sqlite' ? integrityOf(path.join(dataFolder, 'data', 'cloister.db')) : null),
      async close({ keep }) {
        await undoAll();
        if (!keep) await rm(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await undoAll();
    throw error;
  }
}

async function ownPostgres(): Promise<Postgres> {
  const postgres = await startPostgres({ own: true });
  if (postgres === undefined) throw new Error(skipWithoutOwnPostgres || 'PostgreSQL did not start');
  return postgres;
}

async function createServer(
  input: SettingOptions & {
    readonly number: number;
    readonly folder: string;
    readonly dataFolder: string;
    readonly database: string | undefined;
    readonly postgres: Postgres | undefined;
  },
): Promise<TortureServer> {
  const { database, postgres } = input;
  const link: TcpProxy | undefined = postgres === undefined ? undefined : await startTcpProxy(postgres);
  const control = await createServerControl({
    dataDir: input.dataFolder,
    logFile: path.join(input.folder, `server-${input.number}.log`),
    ...(input.program === undefined ? {} : { program: input.program }),
    env: {
      CLOISTER_STORE: input.store,
      CLOISTER_ADMIN_KEY: SERVER_KEY,
      ...(database === undefined || link === undefined ? {} : { DATABASE_URL: through(database, link) }),
      ...input.env,
    },
  });
  return { control, link, starting: Promise.resolve(undefined) };
}

function through(database: string, link: TcpProxy): string {
  const url = new URL(database);
  url.port = String(link.port);
  return url.href;
}

function integrityOf(file: string): string {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    const rows = database.prepare('PRAGMA integrity_check').all();
    return rows.map((row) => String(row.integrity_check)).join('; ');
  } finally {
    database.close();
  }
}
