import type { AgentCreate } from '@cloister/api';
import { Command } from 'commander';
import { connect } from './connection.ts';
import { readDefinition } from './definition.ts';
import { endCommand } from './end-command.ts';
import { printable, printLine, printTable } from './output.ts';
import { MOST } from './session-choice.ts';

export function agentsCommand(): Command {
  return new Command('agents')
    .addCommand(listCommand(), { isDefault: true })
    .addCommand(showCommand())
    .addCommand(createCommand())
    .addCommand(endCommand('archive', 'let no new session use an agent', (id) => connect().agents.archive(id)));
}

function listCommand(): Command {
  return new Command('list')
    .description('the agents that can be talked with')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: true }) => {
      const { data: agents } = await connect().agents.list({ limit: MOST });
      if (json) return printLine(JSON.stringify(agents, null, 2));
      printTable(
        ['ID', 'VERSION', 'MODEL', 'HARNESS', 'NAME'],
        agents.map((one) => [one.id, String(one.version), one.model.id, one.harness, one.name]),
      );
    });
}

function showCommand(): Command {
  return new Command('show')
    .description('all that is known of an agent')
    .argument('<id>')
    .option('--json', 'print JSON')
    .action(async (id: string, { json }: { json?: true }) => {
      const agent = await connect().agents.get(id);
      if (json) return printLine(JSON.stringify(agent, null, 2));
      printRows([
        ['id', `${agent.id}, version ${agent.version}`],
        ['name', agent.name],
        ['about', agent.description ?? ''],
        ['model', agent.model.id],
        ['harness', agent.harness],
        ['system', agent.system ?? ''],
        ['archived', agent.archived_at ?? ''],
      ]);
    });
}

interface CreateOptions {
  readonly model?: string;
  readonly system?: string;
  readonly harness?: string;
  readonly file?: string;
  readonly json?: true;
}

function createCommand(): Command {
  return new Command('create')
    .description('create an agent and print its id')
    .argument('<name>')
    .option('--model <model>', 'such as claude-sonnet-4-5')
    .option('--system <text>', 'its system prompt')
    .option('--harness <name>', 'the program that runs it')
    .option('-f, --file <file>', 'its other fields as the API takes them, in JSON or YAML; - reads standard input')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  cloister agents create reviewer --model claude-sonnet-4-5 --system "You review code."\n')
    .action(async (name: string, { file, json, ...fields }: CreateOptions) => {
      // The server says what is wrong with it.
      const created = await connect().agents.create({ ...readDefinition(file), ...fields, name } as AgentCreate);
      printLine(json ? JSON.stringify(created, null, 2) : created.id);
    });
}

/** Names and values, without those that are empty. */
export function printRows(rows: readonly (readonly [string, string])[]): void {
  for (const [name, value] of rows) if (value !== '') printLine(`${name.padEnd(12)} ${printable(value)}`);
}
