import { Command } from 'commander';
import { VERSION } from '../base/version.ts';
import { COMMANDS } from './commands.ts';
import { EXIT_HELP } from './exit-codes.ts';

const SETTINGS_HELP = `
Where the server is and with which key:
  CLOISTER_URL (or HOST and PORT)       default http://127.0.0.1:3000
  CLOISTER_API_KEY, CLOISTER_ADMIN_KEY  default the key in DATA_DIR/admin.key

Examples:
  cloister init                         settings, asked for one after the other
  cloister serve                        the server, in the foreground
  cloister agent -m "run uname -a"      one message, one answer
  cloister doctor                       what is wrong with this installation
`;

/** The program with the one command that is `wanted`, or with all, for the help and for names that do not exist. */
export async function createProgram(wanted?: string): Promise<Command> {
  const program = new Command('cloister')
    .description('Self-hosted managed agents: each in its own container, no message lost.')
    .version(VERSION)
    .showHelpAfterError('(add --help for what is possible)')
    .addHelpText('after', SETTINGS_HELP + EXIT_HELP);
  const one = wanted === undefined ? undefined : COMMANDS.get(wanted);
  for (const load of one === undefined ? COMMANDS.values() : [one]) program.addCommand(await load());
  overrideExits(program);
  return program;
}

function overrideExits(command: Command): void {
  command.exitOverride();
  for (const one of command.commands) overrideExits(one);
}
