import { Command, InvalidArgumentError } from 'commander';
import { connect } from './connection.ts';
import { printLine, printTable } from './output.ts';
import { MOST } from './session-choice.ts';

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

function parseCount(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= MOST) return count;
  throw new InvalidArgumentError(`It must be a whole number from 1 to ${MOST}.`);
}
