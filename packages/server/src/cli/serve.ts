import { Command } from 'commander';

export function serveCommand(): Command {
  return new Command('serve').action(async () => {
    // Loaded here, so that the other commands start without the whole server.
    const { runServer } = await import('./run-server.ts');
    await runServer();
  });
}
