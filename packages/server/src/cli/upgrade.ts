import { Command } from 'commander';
import type { UpgradeReport } from '../operations.ts';
import { CommandError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import { emphasize, printLine } from './output.ts';

/** Loaded when it is needed, so that the other commands start without the engine and the databases. */
const operations = () => import('../operations.ts');

export function upgradeCommand(): Command {
  return new Command('upgrade')
    .option('--check', 'look at database, images and the running server; changes nothing')
    .option('--json', 'print JSON')
    .action(async ({ check, json }: { check?: true; json?: true }) => {
      if (!check)
        throw new CommandError(EXIT.usage, {
          title: '`cloister upgrade` only ever looks: add --check.',
          fix: 'The upgrade itself is the start of the new version, as docs/upgrade.md says.',
        });
      const { checkUpgrade } = await operations();
      const report = await checkUpgrade();
      if (report.obstacles.length > 0) process.exitCode = EXIT.failed;
      if (json) printLine(JSON.stringify(report, null, 2));
      else printReport(report);
    });
}

function printReport({ version, running, database, backup, images, obstacles, steps }: UpgradeReport): void {
  const rows = [
    ['version', version],
    ['running', running ?? 'no server answers'],
    ['database', database === null ? 'cannot be looked at' : `${database.place}, schema ${database.version}`],
    ['migrate', database === null || database.pending.length === 0 ? 'nothing' : database.pending.join(', ')],
    ['backup', backup],
    ...images.map(({ image, state }) => ['image', `${image}: ${state}`] as const),
  ] as const;
  for (const [name, value] of rows) printLine(`  ${name.padEnd(10)} ${value}`);
  printLine();
  for (const obstacle of obstacles) printLine(emphasize('red', `! ${obstacle}`));
  steps.forEach((step, index) => {
    printLine(`${index + 1}. ${step}`);
  });
}
