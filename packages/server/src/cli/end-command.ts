import { Command } from 'commander';
import { note } from './output.ts';

/** Of things that are named by an id: `archive` or `delete`, and what `end` does about it. */
export function endCommand(name: 'archive' | 'delete', what: string, end: (id: string) => Promise<unknown>): Command {
  return new Command(name)
    .description(what)
    .argument('<id>')
    .action(async (id: string) => {
      await end(id);
      note(`${name}d ${id}`);
    });
}
