import { Command } from 'commander';
import { note, printLine } from './output.ts';

/** Loaded when it is needed, so that the other commands start without it. */
const broker = () => import('../open-broker.ts');

export function brokerCommand(): Command {
  return new Command('broker')
    .option('--allow-build', 'let sandbox images be built too: whoever may do that is root in a build container')
    .option('--check', 'ask the broker that runs here, and the engine through it, and end')
    .option('--forget', 'forget the installation that was served, for a new one, while no broker runs, and end')
    .action(async (options: { allowBuild?: true; check?: true; forget?: true }) => {
      const { checkBroker, forgetInstallation, openBroker } = await broker();
      if (options.check) return checkBroker();
      if (options.forget) {
        const former = forgetInstallation();
        return note(former === undefined ? 'No installation was remembered.' : `Forgot ${former}: the next one that asks is served.`);
      }
      const stopRequested = new Promise<void>((resolve) => {
        for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
      });
      const running = await openBroker({ allowsBuild: options.allowBuild === true });
      printLine('The socket broker is ready.');
      await stopRequested;
      await running.close();
    });
}
