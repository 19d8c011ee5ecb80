import { Command } from 'commander';
import { printRows } from './agents.ts';
import { connect } from './connection.ts';
import { CommandError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import { note, printLine, printTable } from './output.ts';

export function sandboxesCommand(): Command {
  return new Command('sandboxes').addCommand(listCommand(), { isDefault: true }).addCommand(showCommand()).addCommand(removeCommand());
}

function listCommand(): Command {
  return new Command('list')
    .description('the live sandboxes')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: true }) => {
      const { data } = await connect().sandboxes();
      if (json) return printLine(JSON.stringify(data, null, 2));
      printTable(
        ['ID', 'STATE', 'ISOLATION', 'SESSION'],
        data.map((one) => [one.id, one.state, one.isolation, one.session_id]),
      );
    });
}

function showCommand(): Command {
  return new Command('show')
    .description('one of them, with how long its start took')
    .argument('<id>', "the sandbox's, or its session's")
    .option('--json', 'print JSON')
    .action(async (id: string, { json }: { json?: true }) => {
      const { data } = await connect().sandboxes();
      const found = data.find((one) => one.id === id || one.session_id === id);
      if (found === undefined) throw new CommandError(EXIT.notFound, { title: `No sandbox "${id}" lives on this server.` });
      if (json) return printLine(JSON.stringify(found, null, 2));
      const stages = Object.entries(found.stages).map(([stage, ms]) => `${stage} ${Math.round(Number(ms))} ms`);
      printRows([
        ['id', found.id],
        ['session', found.session_id],
        ['state', found.state],
        ['isolation', found.isolation],
        ['runtime', found.runtime_class ?? "the engine's own"],
        ['start', stages.join(', ')],
      ]);
    });
}

function removeCommand(): Command {
  return new Command('remove')
    .description('stop a sandbox that no turn uses; its session goes on, with a new one when it needs one')
    .argument('<id>')
    .option('--json', 'print JSON')
    .action(async (id: string, { json }: { json?: true }) => {
      const removed = await connect().removeSandbox(id);
      if (json) return printLine(JSON.stringify(removed, null, 2));
      note(`removed ${removed.id}`);
    });
}
