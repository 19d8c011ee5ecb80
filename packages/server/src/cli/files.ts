import { createWriteStream, openAsBlob } from 'node:fs';
import { mkdtemp, rename, rm, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { WorkspaceFile } from '@cloister/api';
import { Command } from 'commander';
import { newUnique } from '../base/ids.ts';
import { packDirectory } from '../workspaces/pack.ts';
import { connect } from './connection.ts';
import { CommandError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import { note, printJson, printLine, printTable } from './output.ts';

export function filesCommand(): Command {
  return new Command('files')
    .addCommand(listCommand())
    .addCommand(getCommand())
    .addCommand(putCommand())
    .addCommand(removeCommand())
    .addCommand(pullCommand())
    .addCommand(pushCommand());
}

const MOST_FILES = 1000;

function listCommand(): Command {
  return new Command('ls')
    .description('list a directory')
    .argument('<session>')
    .argument('[path]', 'the directory; left out: the workspace itself')
    .option('--json', 'print JSON')
    .action(async (session: string, directory: string | undefined, { json }: { json?: true }) => {
      const all: WorkspaceFile[] = [];
      let page: string | undefined;
      do {
        const where = { ...(directory === undefined ? {} : { path: directory }), ...(page === undefined ? {} : { page }) };
        const answer = await connect().files.list(session, { limit: MOST_FILES, ...where });
        all.push(...answer.data);
        page = answer.next_page ?? undefined;
      } while (page !== undefined);
      if (json) return printLine(JSON.stringify(all, null, 2));
      printTable(
        ['KIND', 'SIZE', 'MODIFIED', 'NAME'],
        all.map((one) => [one.kind, one.kind === 'file' ? String(one.size_bytes) : '', one.modified_at, shownName(one)]),
      );
    });
}

function getCommand(): Command {
  return new Command('get')
    .description('fetch a file')
    .argument('<session>')
    .argument('<path>', 'the file in the workspace')
    .argument('[file]', 'where it goes here; left out or `-`: stdout')
    .option('--json', 'print JSON of what was saved')
    .action(async (session: string, file: string, target: string | undefined, options: SaveOptions) => {
      await save(await connect().files.read(session, file), target, options);
    });
}

function putCommand(): Command {
  return new Command('put')
    .description('send a file')
    .argument('<session>')
    .argument('<file>', 'the file here')
    .argument('[path]', 'where it goes in the workspace; left out: its own name')
    .option('--new', 'refuse when it is there')
    .option('--json', 'print JSON')
    .action(async (session: string, file: string, target: string | undefined, options: { new?: true; json?: true }) => {
      const sent = await connect().files.write(session, target ?? path.basename(file), await toBlob(file), { overwrite: !options.new });
      if (options.json) return printJson(sent);
      note(`wrote ${sent.path ?? sent.name} (${sent.size_bytes} bytes)`);
    });
}

function removeCommand(): Command {
  return new Command('rm')
    .description('delete a file, a link or a directory')
    .argument('<session>')
    .argument('<path>')
    .option('-r, --recursive', 'also a directory that is not empty')
    .option('--json', 'print JSON')
    .action(async (session: string, file: string, { recursive = false, json }: { recursive?: boolean; json?: true }) => {
      const removed = await connect().files.remove(session, file, { recursive });
      if (json) return printJson(removed);
      note(`deleted ${file}`);
    });
}

function pullCommand(): Command {
  return new Command('pull')
    .description('fetch the workspace, or a directory of it, as tar.gz')
    .argument('<session>')
    .argument('[file]', 'where it goes here, `-` for stdout; left out: <session>.tar.gz')
    .option('-p, --path <directory>', 'only this directory')
    .option('--json', 'print JSON of what was saved')
    .action(async (session: string, file: string | undefined, options: { path?: string } & SaveOptions) => {
      await save(await connect().files.download(session, options.path), file ?? `${path.basename(session)}.tar.gz`, options);
    });
}

function pushCommand(): Command {
  return new Command('push')
    .description('unpack a tar, a tar.gz or a directory of yours into the workspace: all of it or nothing')
    .argument('<session>')
    .argument('<source>', 'an archive or a directory here')
    .option('-p, --path <directory>', 'into this directory')
    .option('--json', 'print JSON')
    .action(async (session: string, source: string, options: { path?: string; json?: true }) => {
      const scratch = await mkdtemp(path.join(os.tmpdir(), 'cloister-push-'));
      try {
        const archive = (await isDirectory(source)) ? await packInto(source, path.join(scratch, 'push.tar.gz')) : source;
        const done = await connect().files.upload(session, await toBlob(archive), options.path);
        if (options.json) return printJson(done);
        note(`unpacked ${done.files} files, ${done.directories} directories and ${done.links} links (${done.size_bytes} bytes)`);
      } finally {
        await rm(scratch, { recursive: true });
      }
    });
}

async function packInto(source: string, archive: string): Promise<string> {
  await pipeline(Readable.from(packDirectory(path.resolve(source)), { objectMode: false }), createGzip(), createWriteStream(archive));
  return archive;
}

export interface SaveOptions {
  readonly json?: true;
}

/** The file is there whole or not at all. */
export async function save(response: Response, target: string | undefined, { json }: SaveOptions): Promise<void> {
  const isStdout = target === undefined || target === '-';
  if (isStdout && json)
    throw new CommandError(EXIT.usage, { title: '--json needs a file.', fix: 'Name one: what is fetched would go to standard output.' });
  const body = Readable.from(response.body ?? []);
  if (isStdout) return pipeline(body, process.stdout, { end: false });
  const draft = `${target}.${newUnique()}`;
  try {
    await pipeline(body, createWriteStream(draft, { flags: 'wx' }));
    await rename(draft, target);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  if (json) return printJson({ file: target, size_bytes: (await stat(target)).size });
  note(`saved ${target}`);
}

export async function toBlob(file: string): Promise<Blob> {
  try {
    return await openAsBlob(file);
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

export async function isDirectory(file: string): Promise<boolean> {
  try {
    return (await stat(file)).isDirectory();
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

function unreadable(file: string, cause: unknown): CommandError {
  return new CommandError(
    EXIT.usage,
    { title: `${file} cannot be read.`, fix: 'Name a file or directory that is there and that you may read.' },
    cause,
  );
}

function shownName({ name, kind, target }: WorkspaceFile): string {
  if (kind === 'directory') return `${name}/`;
  return target === null ? name : `${name} -> ${target}`;
}
