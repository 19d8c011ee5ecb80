import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { Command } from 'commander';
import { packDirectory } from '../workspaces/pack.ts';
import { connect } from './connection.ts';
import { endCommand } from './end-command.ts';
import { isDirectory, type SaveOptions, save, toBlob } from './files.ts';
import { printJson, printLine, printTable } from './output.ts';
import { MOST } from './session-choice.ts';

export function skillsCommand(): Command {
  return new Command('skills')
    .addCommand(listCommand(), { isDefault: true })
    .addCommand(pushCommand())
    .addCommand(getCommand())
    .addCommand(endCommand('delete', 'delete a skill with its versions', (id) => connect().skills.remove(id)));
}

function listCommand(): Command {
  return new Command('list')
    .description('the skills')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: true }) => {
      const { data } = await connect().skills.list({ limit: MOST });
      if (json) return printLine(JSON.stringify(data, null, 2));
      printTable(
        ['ID', 'NAME', 'LATEST VERSION', 'UPDATED'],
        data.map((one) => [one.id, one.display_name, one.latest_version_id, one.updated_at]),
      );
    });
}

function pushCommand(): Command {
  return new Command('push')
    .description('send a folder with a SKILL.md, or an archive of one, and print the id')
    .argument('<source>', 'a folder, zip, tar or tar.gz here')
    .option('-s, --skill <id>', 'add a version to this skill; left out: a new skill')
    .option('-n, --name <name>', 'what a new skill is called in listings')
    .option('--json', 'print JSON')
    .action(async (source: string, { skill, name, json }: { skill?: string; name?: string; json?: true }) => {
      const archive = (await isDirectory(source))
        ? await packFolder(source)
        : { archive: await toBlob(source), name: path.basename(source) };
      const { skills } = connect();
      const pushed =
        skill === undefined
          ? await skills.create(archive, name === undefined ? {} : { displayName: name })
          : await skills.addVersion(skill, archive);
      if (json) printJson(pushed);
      else printLine(pushed.id);
    });
}

/** As an archive, so that scripts stay executable. */
async function packFolder(folder: string): Promise<{ archive: Blob; name: string }> {
  const chunks: Buffer[] = [];
  for await (const chunk of packDirectory(path.resolve(folder))) chunks.push(chunk);
  return { archive: new Blob([gzipSync(Buffer.concat(chunks))]), name: `${path.basename(path.resolve(folder))}.tar.gz` };
}

function getCommand(): Command {
  return new Command('get')
    .description('fetch a version of a skill as tar.gz')
    .argument('<id>')
    .argument('[file]', 'where it goes here, `-` for stdout; left out: <id>.tar.gz')
    .option('-v, --version <id>', 'left out: the latest')
    .option('--json', 'print JSON of what was saved')
    .action(async (id: string, file: string | undefined, { version, ...options }: { version?: string } & SaveOptions) =>
      save(await connect().skills.download(id, version), file ?? `${path.basename(id)}.tar.gz`, options),
    );
}
