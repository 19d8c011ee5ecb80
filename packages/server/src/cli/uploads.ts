import path from 'node:path';
import { Command } from 'commander';
import { connect } from './connection.ts';
import { endCommand } from './end-command.ts';
import { type SaveOptions, save, toBlob } from './files.ts';
import { printLine, printTable } from './output.ts';
import { MOST } from './session-choice.ts';

export function uploadsCommand(): Command {
  return new Command('uploads')
    .addCommand(listCommand(), { isDefault: true })
    .addCommand(addCommand())
    .addCommand(getCommand())
    .addCommand(endCommand('delete', 'delete an uploaded file', (id) => connect().uploads.remove(id)));
}

function listCommand(): Command {
  return new Command('list')
    .description('the uploaded files')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: true }) => {
      const { data } = await connect().uploads.list({ limit: MOST });
      if (json) return printLine(JSON.stringify(data, null, 2));
      printTable(
        ['ID', 'NAME', 'TYPE', 'SIZE', 'CREATED'],
        data.map((one) => [one.id, one.filename, one.mime_type, String(one.size_bytes), one.created_at]),
      );
    });
}

function addCommand(): Command {
  return new Command('add')
    .description('upload a file and print its id')
    .argument('<file>', 'the file here')
    .option('-t, --type <type>', 'its media type, such as application/pdf')
    .option('--json', 'print JSON')
    .action(async (file: string, { type, json }: { type?: string; json?: true }) => {
      const blob = await toBlob(file);
      const added = await connect().uploads.create(blob.slice(0, blob.size, type ?? typeOf(file)), path.basename(file));
      printLine(json ? JSON.stringify(added, null, 2) : added.id);
    });
}

function getCommand(): Command {
  return new Command('get')
    .description('fetch an uploaded file')
    .argument('<id>')
    .argument('[file]', 'where it goes here; left out or `-`: stdout')
    .option('--json', 'print JSON of what was saved')
    .action(async (id: string, target: string | undefined, options: SaveOptions) =>
      save(await connect().uploads.read(id), target, options),
    );
}

const TYPES: Readonly<Record<string, string>> = {
  '.pdf': 'application/pdf',
  '.txt': 'text/plain',
  '.md': 'text/markdown',
  '.csv': 'text/csv',
  '.json': 'application/json',
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
  '.gif': 'image/gif',
  '.webp': 'image/webp',
};

/** By the name's ending; the server takes anything else as mere bytes. */
function typeOf(file: string): string {
  return TYPES[path.extname(file).toLowerCase()] ?? '';
}
