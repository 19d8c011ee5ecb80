import { Command } from 'commander';
import { connect } from './connection.ts';
import { printLine, printTable } from './output.ts';
import { MOST } from './session-choice.ts';

export function agentsCommand(): Command {
  const list = new Command('list')
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
  return new Command('agents').description('agents of the running server').addCommand(list, { isDefault: true });
}
