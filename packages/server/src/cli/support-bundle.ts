import { Command } from 'commander';
import { note, printJson, printLine } from './output.ts';

/** Loaded when it is needed, so that the other commands start without the engine and the databases. */
const operations = () => import('../operations.ts');

export function supportBundleCommand(): Command {
  return new Command('support-bundle')
    .option('--to <file>', 'the .tar.gz to make, or - for standard output; in the current directory if left out')
    .option('--log-lines <count>', 'how many of the last lines of LOG_FILE', '2000')
    .option('--json', 'print JSON')
    .action(async ({ to, logLines, json }: { to?: string; logLines: string; json?: true }) => {
      const { makeSupportBundle } = await operations();
      const { place, files } = await makeSupportBundle({ to, logLines: Math.max(0, Math.trunc(Number(logLines)) || 0) });
      if (json && place !== '-') return printJson({ place, files });
      if (place !== '-') printLine(place);
      note(`In it: ${files.join(', ')}. Secrets are covered; look through it before you send it.`);
    });
}
