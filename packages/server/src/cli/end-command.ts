import { Command } from 'commander';
import { note, printJson } from './output.ts';

/** Of things that are named by an id: `archive`, `delete` and the like, and what `end` does about it. */
export function endCommand(
  name: 'archive' | 'delete' | 'remove' | 'revoke',
  what: string,
  end: (id: string) => Promise<unknown>,
  argument = '<id>',
): Command {
  return new Command(name)
    .description(what)
    .argument(argument)
    .option('--json', 'print JSON')
    .action(async (id: string, { json }: { json?: true }) => {
      const ended = await end(id);
      if (json) return printJson(ended);
      note(`${name}d ${id}`);
    });
}
