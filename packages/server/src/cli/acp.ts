import { Command } from 'commander';
import { serveStdio } from '../acp-bridge/stdio.ts';
import { systemClock } from '../base/clock.ts';
import { connect } from './connection.ts';
import { note } from './output.ts';
import { chooseSession, SESSION_OPTIONS, type SessionOptions } from './session-choice.ts';

/** What an editor starts: everything but ACP goes to stderr. */
export function acpCommand(): Command {
  const command = new Command('acp');
  for (const option of SESSION_OPTIONS) if (option.long !== '--session') command.addOption(option);
  return command.action(async (options: Omit<SessionOptions, 'session'>) => {
    const client = connect();
    await serveStdio(
      {
        client,
        clock: systemClock,
        newSession: () => chooseSession(client, options),
        onError: (error) => note(error instanceof Error ? error.message : String(error), 'red'),
      },
      process.stdin,
      process.stdout,
    );
  });
}
