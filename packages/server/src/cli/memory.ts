import { readFileSync } from 'node:fs';
import type { Client, Memory } from '@cloister/api';
import { Command } from 'commander';
import { connect } from './connection.ts';
import { CommandError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import { note, print, printJson, printLine, printTable } from './output.ts';
import { MOST } from './session-choice.ts';

export function memoryCommand(): Command {
  return new Command('memory')
    .addCommand(storesCommand(), { isDefault: true })
    .addCommand(createCommand())
    .addCommand(listCommand())
    .addCommand(showCommand())
    .addCommand(writeCommand())
    .addCommand(removeCommand())
    .addCommand(historyCommand());
}

function storesCommand(): Command {
  return new Command('stores')
    .description('the memory stores')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: true }) => {
      const { data } = await connect().memory.stores({ limit: MOST });
      if (json) return printLine(JSON.stringify(data, null, 2));
      printTable(
        ['ID', 'NAME', 'DESCRIPTION', 'UPDATED'],
        data.map((one) => [one.id, one.name, one.description, one.updated_at]),
      );
    });
}

function createCommand(): Command {
  return new Command('create')
    .description('create a memory store and print its id')
    .argument('<name>')
    .option('-d, --description <text>', 'what is in it; agents are told')
    .option('--json', 'print JSON')
    .action(async (name: string, { description, json }: { description?: string; json?: true }) => {
      const store = await connect().memory.createStore({ name, description });
      if (json) printJson(store);
      else printLine(store.id);
    });
}

function listCommand(): Command {
  return new Command('list')
    .description('the memories of a store')
    .argument('<store>')
    .option('--json', 'print JSON')
    .action(async (store: string, { json }: { json?: true }) => {
      const all = await allOf(connect(), store);
      if (json) return printLine(JSON.stringify(all, null, 2));
      printTable(
        ['PATH', 'SIZE', 'UPDATED', 'ID'],
        all.map((one) => [one.path, String(one.content_size_bytes), one.updated_at, one.id]),
      );
    });
}

function showCommand(): Command {
  return new Command('show')
    .description('print a memory')
    .argument('<store>')
    .argument('<path>')
    .option('--json', 'print JSON')
    .action(async (store: string, path: string, { json }: { json?: true }) => {
      const client = connect();
      const { id } = await requireAt(client, store, path);
      const memory = await client.memory.get(store, id);
      if (json) printJson(memory);
      else print(memory.content ?? '');
    });
}

function writeCommand(): Command {
  return new Command('write')
    .description('write a memory from a file or from stdin')
    .argument('<store>')
    .argument('<path>', 'such as /projects/notes.md')
    .argument('[file]', 'left out or `-`: stdin')
    .option('--json', 'print JSON')
    .action(async (store: string, path: string, file: string | undefined, { json }: { json?: true }) => {
      const content = readFileSync(file === undefined || file === '-' ? 0 : file, 'utf8');
      const client = connect();
      const written = await write(client, store, { path, content });
      if (json) return printJson(written);
      note(`wrote ${path}`);
    });
}

/** Over what is there only while that is as it was when it was looked for. */
async function write(client: Client, store: string, { path, content }: { path: string; content: string }): Promise<Memory> {
  const there = (await allOf(client, store)).find((one) => one.path === path);
  if (there === undefined) return client.memory.create(store, { path, content });
  const precondition = { type: 'content_sha256' as const, content_sha256: there.content_sha256 };
  return client.memory.update(store, there.id, { content, precondition });
}

function removeCommand(): Command {
  return new Command('delete')
    .description('delete a memory; its versions stay')
    .argument('<store>')
    .argument('<path>')
    .option('--json', 'print JSON')
    .action(async (store: string, path: string, { json }: { json?: true }) => {
      const client = connect();
      const { id, content_sha256: digest } = await requireAt(client, store, path);
      const removed = await client.memory.remove(store, id, digest);
      if (json) return printJson(removed);
      note(`deleted ${path}`);
    });
}

function historyCommand(): Command {
  return new Command('history')
    .description('what was done to the memories of a store, the newest first')
    .argument('<store>')
    .option('--json', 'print JSON')
    .action(async (store: string, { json }: { json?: true }) => {
      const { data } = await connect().memory.versions(store, { limit: MOST });
      if (json) return printLine(JSON.stringify(data, null, 2));
      printTable(
        ['VERSION', 'WHAT', 'PATH', 'BY', 'WHEN'],
        data.map((one) => [one.id, one.operation, one.path ?? '(redacted)', actorOf(one.created_by), one.created_at]),
      );
    });
}

function actorOf(actor: Record<string, string>): string {
  return actor.session_id ?? actor.user_id ?? actor.api_key_id ?? '';
}

async function allOf(client: Client, store: string): Promise<readonly Memory[]> {
  const all: Memory[] = [];
  let page: string | undefined;
  do {
    const answer = await client.memory.list(store, { limit: MOST, page });
    all.push(...answer.data.filter((one) => one.type === 'memory'));
    page = answer.next_page ?? undefined;
  } while (page !== undefined);
  return all;
}

async function requireAt(client: Client, store: string, path: string): Promise<Memory> {
  const found = (await allOf(client, store)).find((one) => one.path === path);
  if (found !== undefined) return found;
  throw new CommandError(EXIT.notFound, {
    title: `There is no memory at ${path}.`,
    fix: `List them with \`cloister memory list ${store}\`.`,
  });
}
