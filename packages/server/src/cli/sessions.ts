import { Command } from 'commander';
import { connect } from './connection.ts';
import { printLine, printTable } from './output.ts';
import { parseCount } from './session-choice.ts';

export function sessionsCommand(): Command {
  const list = new Command('list')
    .description('the newest sessions')
    .option('-n, --limit <count>', 'how many, at most 100', parseCount, 20)
    .option('--json', 'print JSON')
    .action(async ({ limit, json }: { limit: number; json?: true }) => {
      const { data } = await connect().sessions.list({ limit });
      if (json) return printLine(JSON.stringify(data, null, 2));
      printTable(
        ['ID', 'STATUS', 'AGENT', 'UPDATED', 'TITLE'],
        data.map((one) => [one.id, one.status, one.agent.name, one.updated_at, one.title ?? '']),
      );
    });
  return new Command('sessions').description('sessions of the running server').addCommand(list, { isDefault: true });
}
