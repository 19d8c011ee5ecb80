import { Command } from 'commander';
import type { PruneItem } from '../operations.ts';
import { EXIT } from './exit-codes.ts';
import { note, printLine, printTable } from './output.ts';

/** Loaded when it is needed, so that the other commands start without the engine and the databases. */
const operations = () => import('../operations.ts');

export function pruneCommand(): Command {
  return new Command('prune')
    .option('--yes', 'remove it')
    .option('--dry-run', 'only list it, as without --yes')
    .option('--json', 'print JSON')
    .action(async ({ yes, dryRun, json }: { yes?: true; dryRun?: true; json?: true }) => {
      const isRemoving = yes === true && dryRun !== true;
      const { prune } = await operations();
      const { items, skipped } = await prune({ isRemoving });
      if (items.some(({ failure }) => failure !== undefined)) process.exitCode = EXIT.failed;
      if (json) printLine(JSON.stringify({ removed: isRemoving, items, skipped }, null, 2));
      else tell(items, skipped, isRemoving);
    });
}

function tell(items: readonly PruneItem[], skipped: readonly string[], isRemoving: boolean): void {
  if (items.length > 0)
    printTable(
      ['KIND', 'WHAT', 'SIZE', ...(isRemoving ? ['OUTCOME'] : [])],
      items.map(({ kind, what, sizeBytes, failure }) => [
        kind,
        what,
        sizeBytes === undefined ? '' : `${(sizeBytes / 1024 ** 2).toFixed(1)} MiB`,
        ...(isRemoving ? [failure ?? 'removed'] : []),
      ]),
    );
  for (const why of skipped) note(why, 'yellow');
  if (items.length === 0) note('There is nothing to remove.');
  else if (!isRemoving) note('Nothing was removed: add --yes to do so.');
}
