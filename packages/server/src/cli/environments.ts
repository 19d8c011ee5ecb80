import type { EnvironmentCreate } from '@cloister/api';
import { Command } from 'commander';
import { connect } from './connection.ts';
import { readDefinition } from './definition.ts';
import { endCommand } from './end-command.ts';
import { printLine, printTable } from './output.ts';
import { MOST } from './session-choice.ts';

export function environmentsCommand(): Command {
  return new Command('environments')
    .addCommand(listCommand(), { isDefault: true })
    .addCommand(showCommand())
    .addCommand(createCommand())
    .addCommand(endCommand('archive', 'let no new session use an environment', (id) => connect().environments.archive(id)))
    .addCommand(endCommand('delete', 'delete an environment that no session uses', (id) => connect().environments.remove(id)));
}

function listCommand(): Command {
  return new Command('list')
    .description('the environments')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: true }) => {
      const { data } = await connect().environments.list({ limit: MOST });
      if (json) return printLine(JSON.stringify(data, null, 2));
      printTable(
        ['ID', 'TYPE', 'NAME', 'UPDATED'],
        data.map((one) => [one.id, one.config.type, one.name, one.updated_at]),
      );
    });
}

function showCommand(): Command {
  return new Command('show')
    .description('an environment with its limits, mounts and network, as JSON')
    .argument('<id>')
    .option('--json', 'as it is without')
    .action(async (id: string) => {
      printLine(JSON.stringify(await connect().environments.get(id), null, 2));
    });
}

interface CreateOptions {
  readonly file?: string;
  readonly json?: true;
}

function createCommand(): Command {
  return new Command('create')
    .description('create an environment and print its id')
    .argument('<name>')
    .option('-f, --file <file>', 'its fields as the API takes them, in JSON or YAML; - reads standard input')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  echo "config: {type: container, memory: 2g}" | cloister environments create large -f -\n')
    .action(async (name: string, { file, json }: CreateOptions) => {
      const body = { config: { type: 'container' }, ...readDefinition(file), name };
      // The server says what is wrong with it.
      const created = await connect().environments.create(body as EnvironmentCreate);
      printLine(json ? JSON.stringify(created, null, 2) : created.id);
    });
}
