import { Command } from 'commander';
import { type ConfigReport, inspectConfig } from '../config.ts';
import { EXIT } from './exit-codes.ts';
import { note, printLine, printTable } from './output.ts';

export function configCommand(): Command {
  return new Command('config').addCommand(showCommand(), { isDefault: true }).addCommand(checkCommand());
}

interface ShowOptions {
  readonly all?: true;
  readonly json?: true;
}

function showCommand(): Command {
  return new Command('show')
    .description('the settings that are set, each with its value and where that comes from; secrets are not shown')
    .option('-a, --all', 'also those that have their default')
    .option('--json', 'print JSON: all settings, with kind and range')
    .addHelpText('after', '\nExamples:\n  cloister config show\n  DATA_DIR=/srv/cloister cloister config show --all\n')
    .action(({ all, json }: ShowOptions) => {
      const report = inspectConfig();
      if (report.problems.length > 0) process.exitCode = EXIT.rejected;
      if (json) return printLine(JSON.stringify({ ...report, file: report.file ?? null }, null, 2));
      const rows = report.settings.filter(({ is_set: isSet }) => all || isSet);
      if (rows.length > 0)
        printTable(
          ['SETTING', 'VALUE', 'FROM'],
          rows.map((one) => [one.name, shownValue(one), one.origin === 'config.yaml' ? one.origin : (one.origin_name ?? one.origin)]),
        );
      else note('Every setting has its default: --all shows them.');
      if (report.file !== undefined) note(`config.yaml is ${report.file}`);
      printRemarks(report);
    });
}

function checkCommand(): Command {
  return new Command('check')
    .description('say what would stop a start, all of it, and what has no effect; exit 7 when a start would be refused')
    .option('--json', 'print JSON')
    .action(({ json }: { json?: true }) => {
      const report = inspectConfig();
      const { file = null, problems, notes } = report;
      if (problems.length > 0) process.exitCode = EXIT.rejected;
      if (json) return printLine(JSON.stringify({ file, ok: problems.length === 0, problems, notes }, null, 2));
      printRemarks(report);
      if (problems.length === 0) printLine(`A start would take these settings${file === null ? '' : `, also those of ${file}`}.`);
    });
}

function shownValue({ is_secret: isSecret, is_set: isSet, value }: ConfigReport['settings'][number]): string {
  if (isSecret) return isSet ? '(set, not shown)' : '';
  return value ?? '';
}

function printRemarks({ problems, notes }: ConfigReport): void {
  for (const { message } of problems) note(`wrong: ${message}`, 'red');
  for (const one of notes) note(`note: ${one}`, 'yellow');
}
