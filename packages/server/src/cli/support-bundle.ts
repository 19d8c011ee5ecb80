import { Command } from 'commander';
import { note, printLine } from './output.ts';

/** Loaded when it is needed, so that the other commands start without the engine and the databases. */
const operations = () => import('../operations.ts');

export function supportBundleCommand(): Command {
  return new Command('support-bundle')
    .description('pack what somebody needs who helps you: versions, settings, findings, status, sizes and log lines, without secrets')
    .option('--to <file>', 'the .tar.gz to make, or - for standard output; in the current directory if left out')
    .option('--log-lines <count>', 'how many of the last lines of LOG_FILE', '2000')
    .action(async ({ to, logLines }: { to?: string; logLines: string }) => {
      const { makeSupportBundle } = await operations();
      const { place, files } = await makeSupportBundle({ to, logLines: Math.max(0, Math.trunc(Number(logLines)) || 0) });
      if (place !== '-') printLine(place);
      note(`In it: ${files.join(', ')}. Secrets are covered; look through it before you send it.`);
    });
}
